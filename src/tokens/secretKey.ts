import { randomBytes } from "node:crypto";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * The secret key of a service with the embedded Postgres: made once, kept beside the data,
 * readable by its owner only.
 * @param dataDir a folder that is there.
 * @throws where the folder cannot be written or the file cannot be read.
 */
export async function readOrMakeSecretKey(dataDir: string): Promise<string> {
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
  return (await readFile(file, "utf8")).trim();
}
