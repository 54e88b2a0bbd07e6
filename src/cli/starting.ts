/** What the commands that serve have in common. */
import type { Config } from "../config/config.ts";
import type { Shutdown } from "../process/shutdown.ts";

/** @returns what was started; `undefined` if the process was stopped meanwhile, even if that made the start fail */
export async function unlessStopped<T>(
  { isStopping }: Pick<Shutdown, "isStopping">,
  start: () => Promise<T>,
): Promise<T | undefined> {
  try {
    const started = await start();
    return isStopping() ? undefined : started;
  } catch (error) {
    if (isStopping()) return undefined;
    throw error;
  }
}

/** Loads the dictionaries of weak passwords, so that the first registrations do not wait for them. */
export function loadDictionaries({ passwordBlocklist }: Config): void {
  if (!passwordBlocklist) return;
  // If this fails, the first registration tries again.
  import("../passwords/strengthCheck.ts").then(({ loadDictionaries }) => loadDictionaries()).catch(() => {});
}
