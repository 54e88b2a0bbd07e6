import { randomBytes } from "node:crypto";
import { constants, link, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";

/**
 * Reads the secret key of a service with the embedded Postgres, or makes it. It is a file beside the data that only its owner can
 * read.
 * @param dataDir an existing folder
 * @throws {SecretKeyError} if the file is incomplete, or if others can read it
 */
async function readOrMakeSecretKey(dataDir: string): Promise<string> {
  const file = join(dataDir, "secret-key");
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, `${randomBytes(32).toString("base64")}\n`, { mode: 0o600, flush: true });
  try {
    // Atomic, and never replaces an existing key.
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

/** The file of the secret key cannot be used. The message is for the operator. */
export class SecretKeyError extends ConfigError {}

/** The secret keys from the settings, the current one first. Other keys are derived from them. */
export type SecretKeys = {
  /** For encryption and refresh tokens. What was made with or without a line break at the end of the key is accepted. */
  sealing: readonly [string, ...string[]];
  /** For the keys of counters, which must be the same with and without a line break. */
  counting: readonly [string, ...string[]];
};

/** Reads the current secret key, and the previous one while it is being changed. @throws {SecretKeyError} */
export async function readSecretKeys(settings: {
  secretKey: string | undefined;
  secretKeyPrevious: string | undefined;
  dataDir: string;
}): Promise<SecretKeys> {
  const current = settings.secretKey ?? (await readOrMakeSecretKey(settings.dataDir));
  return toSecretKeys(settings.secretKeyPrevious === undefined ? [current] : [current, settings.secretKeyPrevious]);
}

/**
 * Earlier versions did not remove a line break at the end of the key. During an update both versions must open what the other has
 * sealed. So new values are sealed under the key as it is given, and values under its other forms are accepted.
 */
export function toSecretKeys(given: [string, ...string[]]): SecretKeys {
  const plain = given.map((key) => key.replace(/[\r\n]+$/, ""));
  const unique = (keys: string[]) => [...new Set(keys)] as [string, ...string[]];
  return {
    sealing: unique([...given, ...plain, ...plain.map((key) => `${key}\n`)]),
    counting: unique([...plain, ...given]),
  };
}
