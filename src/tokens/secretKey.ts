import { randomBytes } from "node:crypto";
import { constants, link, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";

/**
 * Reads the file in DATA_DIR that contains the secret key, for a service without `SECRET_KEY`. Creates it if it is missing. Only
 * its owner can read it.
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

/** The secret key's file cannot be used. The message is for the operator. */
export class SecretKeyError extends ConfigError {}

/** The secret keys from the settings, the current one first. Other keys are derived from them. */
export type SecretKeys = {
  /** For encryption and refresh tokens. Each key also has its forms with and without a line break at the end. */
  sealing: readonly [string, ...string[]];
  /** For the keys of counters. The first is without a line break at the end, so that it is the same with and without one. */
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
 * Earlier versions did not remove a line break at the end of the key. During an update, each version must open what the other one
 * seals. So the given form of the key seals, and its other forms are accepted.
 */
export function toSecretKeys(given: [string, ...string[]]): SecretKeys {
  const plain = given.map((key) => key.replace(/[\r\n]+$/, ""));
  const unique = (keys: string[]) => [...new Set(keys)] as [string, ...string[]];
  return {
    sealing: unique([...given, ...plain, ...plain.map((key) => `${key}\n`)]),
    counting: unique([...plain, ...given]),
  };
}
