/** `latchkey keys`: the signing keys, and what to do when one was stolen, or all of them. */
import type { Logger } from "pino";
import { StartError } from "../config.ts";
import { createSeal, type Seal } from "../tokens/sealing.ts";
import { readSecretKeys } from "../tokens/secretKey.ts";
import { ensureKey, makeKey, requireSecretKey, rotateKeys, type SigningKeyStore } from "../tokens/signingKeys.ts";
import { signingKeyStore } from "../tokens/store.ts";
import { type Command, counted, readArguments, say, unknownCommand } from "./command.ts";
import { type Tools, withDatabase } from "./database.ts";
import { endEverything, replaceKeys } from "./endings.ts";

type KeyTools = Tools & { store: SigningKeyStore; seal: Seal; log: Logger };

export const keys: Command = (args) => {
  const [verb = "", kid = ""] = args;
  // One of 64 ids begins with a hyphen, and would be taken for an option.
  const separated = isKeyId(kid) ? [verb, "--", ...args.slice(1)] : args;
  const { positionals, values } = readArguments(separated, { all: { type: "boolean" } });
  const run = actionOf(positionals, values.all === true);
  if (!run) throw unknownCommand(["keys", ...args]);
  return (config, log) =>
    withDatabase(config, log, async (tools) => {
      const store = signingKeyStore(tools.database);
      await run({ ...tools, store, seal: createSeal((await readSecretKeys(config)).sealing), log });
    });
};

function actionOf([verb, kid, ...rest]: string[], all: boolean): ((tools: KeyTools) => Promise<void>) | undefined {
  if (rest.length > 0 || (all && verb !== "revoke")) return undefined;
  if (verb === "list" && kid === undefined) return list;
  if (verb === "rotate" && kid === undefined) return rotate;
  if (verb !== "revoke" || all === (kid !== undefined)) return undefined;
  return kid === undefined ? revokeAll : (tools) => revoke(tools, kid);
}

async function opensLiveKeys(store: SigningKeyStore, seal: Seal): Promise<boolean> {
  if ((await store.findAll()).every(({ revokedAt }) => revokedAt)) return false;
  return requireSecretKey(store, seal).then(
    () => true,
    () => false,
  );
}

const isKeyId = (text: string) => /^[\w-]{43}$/.test(text);

async function list({ store, seal }: KeyTools): Promise<void> {
  await requireSecretKey(store, seal);
  for (const { kid, activatesAt, revokedAt } of await store.findAll())
    say(`${kid}  ${revokedAt ? `revoked ${revokedAt.toISOString()}` : `signs from ${activatesAt.toISOString()}`}`);
}

async function rotate({ store, seal, audit }: KeyTools): Promise<void> {
  await requireSecretKey(store, seal);
  const keyId = await rotateKeys(store, seal);
  audit("signing-key-rotated", undefined, { keyId });
  say(keyId);
}

async function revoke({ store, seal, audit }: KeyTools, keyId: string): Promise<void> {
  await requireSecretKey(store, seal);
  const revocation = await store.revoke(keyId);
  if (revocation) audit("signing-key-revoked", undefined, { keyId });
  await ensureKey(store, seal);
  if (!revocation) throw new StartError(`There is no key ${keyId} to revoke.`);
}

/** Needs to open no key: where SECRET_KEY was stolen and has been changed, the present one opens none of them. */
async function revokeAll({ store, seal, audit, atomically, log }: KeyTools): Promise<void> {
  const isUnchanged = await opensLiveKeys(store, seal);
  const key = await makeKey(seal);
  const { revoked, ended } = await atomically(async (transaction) => ({
    revoked: await replaceKeys(transaction, key),
    ended: await endEverything(transaction),
  }));
  if (isUnchanged) log.warn("SECRET_KEY has not changed. If it was stolen, change it and do this again.");
  for (const keyId of revoked) audit("signing-key-revoked", undefined, { keyId });
  audit("all-sessions-ended", undefined, {});
  say(`Revoked ${counted(revoked.length, "signing key")}. The new one is ${key.kid}.`);
  say(`Ended ${counted(ended.sessions, "session")} of ${counted(ended.users, "user")}, and every token.`);
  say("Restart every instance that has another SECRET_KEY than this command had.");
}
