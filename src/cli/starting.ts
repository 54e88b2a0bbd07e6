/** What the commands that serve have in common. */
import type { Config } from "../config/config.ts";
import type { Lifecycle } from "../lib/lifecycle.ts";

/** @returns what was started; `undefined` if a stop has cancelled the start, whatever the start made of that */
export async function unlessCancelled<T>({ closing }: Lifecycle, start: () => Promise<T>): Promise<T | undefined> {
  try {
    const started = await start();
    return closing.aborted ? undefined : started;
  } catch (error) {
    if (closing.aborted) return undefined;
    throw error;
  }
}

/** Loads the dictionaries of weak passwords, so that the first registrations do not wait for them. */
export function loadDictionaries({ passwordBlocklist }: Config): void {
  if (!passwordBlocklist) return;
  // If this fails, the first registration tries again.
  import("../passwords/weaknessCheck.ts").then(({ loadDictionaries }) => loadDictionaries()).catch(() => {});
}
