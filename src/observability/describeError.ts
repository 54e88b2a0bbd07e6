/** Describes errors for the log without secrets. Messages of drivers and of V8 may quote values. */

/**
 * SQLSTATE classes whose messages contain no values: connection, transaction state, role, database, conflict, access rule or
 * syntax, resources, prerequisites, intervention, system. Data (22), constraints (23) and functions (P0) quote values.
 */
const withoutValues = /^(?:08|25|28|3D|40|42|53|55|57|58)...$/;

/** Descriptions that were returned. A logger may pass one in again. */
const descriptions = new WeakSet<WeakKey>();

/** Longer chains of causes are cut. */
const maxCauses = 5;

type Described = Error & {
  code?: unknown;
  severity?: unknown;
  routine?: unknown;
  constraint?: unknown;
  table?: unknown;
};

/**
 * Replaces pino's serializer, which writes all properties of an error, such as the values of a row.
 * @returns type, code and stack of an error, and its message if that cannot contain a value of a request
 */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return descriptions.has(error as WeakKey) ? error : { type: typeof error };
  const { name: type, code, stack, cause, severity, routine, constraint, table } = error as Described;
  const postgres = typeof severity === "string" && { routine, constraint, table };
  const description = {
    type,
    message: safeMessage(error),
    code,
    ...postgres,
    stack: framesOf(stack ?? "", error.message),
    ...(cause instanceof Error && depth < maxCauses && { cause: describeError(cause, depth + 1) }),
  };
  descriptions.add(description);
  return description;
}

function safeMessage(error: Described): string | undefined {
  const { name, message, code, severity } = error;
  if (typeof severity === "string")
    return withoutValues.test(String(code)) ? message : `Postgres error ${String(code)}`;
  // Node quotes arguments (ERR_INVALID_ARG_VALUE). System errors (ENOENT) do not.
  if (typeof code === "string" && code.startsWith("ERR_")) return undefined;
  // Errors of this program, of the system and of the pools.
  if (/^(?:Error|Problem|AggregateError|KnexTimeoutError|TimeoutError|AbortError)$/.test(name)) return message;
  // V8 quotes names, and appends some values without quotes.
  if (name === "TypeError" || name === "RangeError") return message.replace(/["'`:].*/s, "…");
  return undefined; // a SyntaxError quotes the text that could not be parsed
}

/** The stack frames, without the message. */
function framesOf(stack: string, message: string): string {
  const start = stack.indexOf(message) + message.length;
  return stack
    .slice(start)
    .split("\n")
    .filter((line) => /^ +at /.test(line))
    .join("\n");
}
