/** The errors that stop a start. */

/** Invalid settings. The message is for the operator. */
export class ConfigError extends Error {}

/** A start error outside the settings. The message is for the operator. */
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
