/** Errors that stop the program. The message is for the operator. The exit status is from sysexits.h. */

export const exitStatus = { usage: 64, input: 65, unavailable: 69, software: 70, config: 78 };

export abstract class FatalError extends Error {
  abstract readonly exitStatus: number;
}

/** The command line is wrong. */
export class UsageError extends FatalError {
  readonly exitStatus = exitStatus.usage;
}

/** The input of a command, such as a password or a file, cannot be used. */
export class InputError extends FatalError {
  readonly exitStatus = exitStatus.input;
}

/** Something that the program needs is not available. */
export class StartError extends FatalError {
  readonly exitStatus = exitStatus.unavailable;
}

/** A setting is wrong. */
export class ConfigError extends FatalError {
  readonly exitStatus = exitStatus.config;
}
