/** `latchkey signing-keys`, formerly `latchkey keys`: lists, rotates and revokes the signing keys. */
import { daySeconds } from "../config/values.ts";
import { StartError } from "../errors.ts";
import {
  type KeyState,
  keyStates,
  makeNewKeys,
  prepareNextKey,
  publishedBeforeSigningSeconds,
  type Rotation,
  rotateKeys,
} from "../tokens/keyRotation.ts";
import { createSeal, requireSecretKey, type Seal } from "../tokens/sealing.ts";
import { readSecretKeys } from "../tokens/secretKey.ts";
import { signingKeyStore } from "../tokens/store.ts";
import type { SigningKeyStore, StoredKey } from "../tokens/storeTypes.ts";
import { type Define, wrongUsage } from "./arguments.ts";
import { endEverything, replaceKeys } from "./bulkRevocation.ts";
import { type Tools, withDatabase } from "./database.ts";
import { examples } from "./help.ts";
import { optionTexts } from "./options.ts";
import { counted, printLine } from "./output.ts";
import { printRows } from "./results.ts";

type KeyTools = Tools & { rotation: Rotation };

export const defineSigningKeys: Define = (signingKeys, execute) => {
  const name = signingKeys.name();
  const run = (use: (tools: KeyTools) => Promise<void>) =>
    execute(
      withDatabase(async (tools) => {
        const store = signingKeyStore(tools.database);
        const seal = createSeal((await readSecretKeys(tools.config)).sealing);
        const { keyRotationDays, signingAlg } = tools.config;
        const rotation = { store, seal, rotationSeconds: keyRotationDays * daySeconds, algorithm: signingAlg };
        await use({ ...tools, rotation });
      }),
    );

  signingKeys
    .command("list")
    .description("List the signing keys with their states: next, signing, retired or revoked.")
    .option("--json", optionTexts.json)
    .addHelpText("after", examples(`${name} list`, `${name} list --json`))
    .action(async ({ json }) => {
      // Scripts read the lines that the former name prints.
      const printsLines = name === "keys" && !json && !process.stdout.isTTY;
      await run(printsLines ? printLines : (tools) => list(tools, json));
    });

  signingKeys
    .command("rotate")
    .description(
      "Rotate the signing key: the next key signs once it has been published for six minutes. Prints its id.",
    )
    .addHelpText("after", examples(`${name} rotate`))
    .action(() => run(rotate));

  signingKeys
    .command("revoke")
    .description("Revoke a stolen key and all its tokens. The next key signs at once.")
    .argument("[kid]", "the id of the key")
    .option("--all", "revoke all keys, tokens and sessions, after SECRET_KEY was stolen and changed")
    .addHelpText(
      "after",
      examples(`${name} revoke 0YkE8mVJ9fqlXx0T1R4pZ5cUe3w7sHn2aGdKbQiLoNM`, `${name} revoke --all`),
    )
    .action(async (kid, { all = false }) => {
      if (all === (kid !== undefined))
        throw wrongUsage(`${name} revoke`, `Which keys? latchkey ${name} revoke KID, or --all.`);
      await run(kid === undefined ? revokeAll : (tools) => revoke(tools, kid));
    });
};

/** @returns whether SECRET_KEY decrypts every key that is not revoked; false if there is no such key */
async function opensLiveKeys(store: SigningKeyStore, seal: Seal): Promise<boolean> {
  if ((await store.findAll()).every(({ revokedAt }) => revokedAt)) return false;
  return requireSecretKey(store, seal).then(
    () => true,
    () => false,
  );
}

async function list({ rotation: { store, seal } }: KeyTools, json: true | undefined): Promise<void> {
  await requireSecretKey(store, seal);
  const keys = (await statesOf(store)).map(({ kid, algorithm, state, at, createdAt }) => ({
    kid,
    algorithm,
    state,
    since: at.toISOString(),
    published_at: createdAt.toISOString(),
  }));
  await printRows([keys], {
    columns: ["kid", "algorithm", "state", "since", "published_at"],
    json,
    none: "There is no signing key.",
  });
}

const texts: Record<KeyState["state"], string> = {
  next: "next, signs from",
  signing: "signing since",
  retired: "retired",
  revoked: "revoked",
};

/** The times are in UTC, by the clock of the database. */
async function printLines({ rotation: { store, seal } }: KeyTools): Promise<void> {
  await requireSecretKey(store, seal);
  for (const { kid, algorithm, state, at, createdAt } of await statesOf(store))
    printLine(`${kid}  ${texts[state]} ${at.toISOString()}, published ${createdAt.toISOString()}, ${algorithm}`);
}

const statesOf = async (store: SigningKeyStore) => keyStates(await store.findAll(), await store.now());

/** Prints only the id of the key that signs next, for programs. */
async function rotate({ rotation, audit, log }: KeyTools): Promise<void> {
  await requireSecretKey(rotation.store, rotation.seal);
  const { kid, algorithm, activatesAt } = await rotateKeys(rotation);
  audit("signing-key-rotated", { keyId: kid });
  log.info({ keyId: kid, algorithm, signsFrom: activatesAt }, "the key signs");
  printLine(kid);
}

async function revoke({ rotation, audit }: KeyTools, keyId: string): Promise<void> {
  const { store, seal } = rotation;
  await requireSecretKey(store, seal);
  const revocation = await store.revoke(keyId);
  if (revocation) audit("signing-key-revoked", { keyId });
  await prepareNextKey(rotation);
  if (!revocation) throw new StartError(`There is no key ${keyId} to revoke.`);
  const signing = (await statesOf(store)).find(({ state }) => state === "signing");
  if (!signing) return;
  printLine(`Revoked. ${signing.kid} signs.`);
  warnIfRecentlyPublished(signing, await store.now());
}

/** A cached key set may lack the key after two revocations in a row, or after all keys were revoked. */
function warnIfRecentlyPublished({ createdAt }: Pick<StoredKey, "createdAt">, now: Date): void {
  const knownAt = new Date(createdAt.getTime() + publishedBeforeSigningSeconds * 1000);
  if (knownAt > now)
    printLine(
      `Services that verify tokens themselves and cache the key set may not know it until ${knownAt.toISOString()}.`,
    );
}

/** Decrypts no key: after SECRET_KEY was stolen and changed, the new one cannot decrypt the old keys. */
async function revokeAll({ rotation, audit, atomically, log }: KeyTools): Promise<void> {
  const { store, seal } = rotation;
  const isUnchanged = await opensLiveKeys(store, seal);
  const keys = await makeNewKeys(rotation);
  const { revoked, ended } = await atomically(async (transaction) => ({
    revoked: await replaceKeys(transaction, keys, rotation.rotationSeconds),
    ended: await endEverything(transaction),
  }));
  if (isUnchanged) log.warn("SECRET_KEY has not changed. If it was stolen, change it and repeat this command.");
  for (const keyId of revoked) audit("signing-key-revoked", { keyId });
  audit("all-sessions-ended", {});
  printLine(`Revoked ${counted(revoked.length, "signing key")}. The new one is ${keys[0].kid}.`);
  const now = await store.now();
  warnIfRecentlyPublished({ createdAt: now }, now);
  printLine(`Ended ${counted(ended.sessions, "session")} of ${counted(ended.users, "user")}, and every token.`);
  printLine("Restart every instance whose SECRET_KEY differs from the one of this command.");
}
