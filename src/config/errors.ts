/** Why a start is refused. */

/** The start is refused because of the settings. Its message is for the person who starts. */
export class ConfigError extends Error {}

/** The start is refused for a reason outside of the settings. Its message is for the person who starts. */
export class StartError extends Error {}

/**
 * What to do with the system's error, such as EADDRINUSE, when it refuses this address.
 * @param prefix of the two settings that name it
 */
export const cannotListen =
  (prefix: "" | "METRICS_", host: string, port: number) =>
  (cause: Error): never => {
    const address = `${prefix}HOST ${host}, ${prefix}PORT ${port}`;
    throw new StartError(`Cannot listen on ${address}: ${cause.message}. Set another one.`, { cause });
  };
