import { randomBytes } from "node:crypto";
import { constants, link, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";

/**
 * The secret key of a service with the embedded Postgres: made once, kept beside the data,
 * readable by its owner only.
 * @param dataDir a folder that is there.
 * @throws {SecretKeyError} where the file was cut short or others can read it.
 */
async function readOrMakeSecretKey(dataDir: string): Promise<string> {
  const file = join(dataDir, "secret-key");
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, `${randomBytes(32).toString("base64")}\n`, { mode: 0o600, flush: true });
  try {
    // A link is there complete or not at all, and never replaces an older key.
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const key = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { mode } = await key.stat();
    if ((mode & 0o077) !== 0)
      throw new SecretKeyError(`${file} can be read by others: chmod 600 it, if it is still secret.`);
    const text = (await key.readFile("utf8")).trim();
    if (text.length < 44) throw new SecretKeyError(`${file} is not the key that was once written there: restore it.`);
    return text;
  } finally {
    await key.close();
  }
}

/** The file is not what was written there. Its message is for the person who starts. */
export class SecretKeyError extends ConfigError {}

/** What everything that is derived from `SECRET_KEY` is derived from, as the settings have it: the present key first. */
export type SecretKeys = {
  /** For what has to be opened again. A line break at the end of a key makes no difference. */
  sealing: readonly [string, ...string[]];
  /** For what is counted under one name, whether a line break was there or not. */
  counting: readonly [string, ...string[]];
};

/** The present secret key, and the one before it while it is being changed. */
export async function readSecretKeys(settings: {
  secretKey: string | undefined;
  secretKeyPrevious: string | undefined;
  dataDir: string;
}): Promise<SecretKeys> {
  const present = settings.secretKey ?? (await readOrMakeSecretKey(settings.dataDir));
  return keysOf(settings.secretKeyPrevious === undefined ? [present] : [present, settings.secretKeyPrevious]);
}

/**
 * Earlier versions derived from the key as it was given, so that a line break at its end counted: what they sealed is to be
 * opened, and they open what is sealed beside them while they are being replaced. So a key is used as it is given, and its other
 * forms are accepted.
 */
export function keysOf(given: [string, ...string[]]): SecretKeys {
  const plain = given.map((key) => key.replace(/[\r\n]+$/, ""));
  const unique = (keys: string[]) => [...new Set(keys)] as [string, ...string[]];
  return {
    sealing: unique([...given, ...plain, ...plain.map((key) => `${key}\n`)]),
    counting: unique([...plain, ...given]),
  };
}
