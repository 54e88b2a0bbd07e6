import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterTest } from "./afterTest.ts";

/**
 * Makes a folder and deletes it after the test.
 * @param mode its permissions; 0o755 for a folder in which another user runs Postgres
 */
export async function temporaryFolder(mode = 0o700): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "latchkey-test-"));
  await chmod(folder, mode);
  // Retried, because a program that was killed may still be writing.
  afterTest(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  return folder;
}
