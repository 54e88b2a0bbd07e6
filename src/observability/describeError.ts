/** What the log has of an error. Drivers and engines quote values in their messages, and a value may be a secret. */

/**
 * Classes of SQLSTATE whose messages name what is wrong with the server or with a statement of ours, and no values:
 * connection, state, role, database, conflict, access rule or syntax, resources, prerequisites, intervention, system.
 * Those of data (22), constraints (23) and functions (P0) quote values.
 */
const withoutValues = /^(?:08|25|28|3D|40|42|53|55|57|58)...$/;

/** What was returned for an error: a logger may describe it again. */
const descriptions = new WeakSet<WeakKey>();

/** Beyond it a chain of causes is cut. */
const maxCauses = 5;

type Described = Error & {
  code?: unknown;
  severity?: unknown;
  routine?: unknown;
  constraint?: unknown;
  table?: unknown;
};

/**
 * Not pino's own serializer, which would write whatever a driver hangs on its errors, such as the values of a row.
 * @returns the type, the code and the place of an error; its message where that cannot have a value of a request in it
 */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return descriptions.has(error as WeakKey) ? error : { type: typeof error };
  const { name: type, code, stack, cause, severity, routine, constraint, table } = error as Described;
  const ofPostgres = typeof severity === "string" && { routine, constraint, table };
  const description = {
    type,
    message: safeMessage(error),
    code,
    ...ofPostgres,
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
  // Node quotes arguments (ERR_INVALID_ARG_VALUE); the system (ENOENT) names its own objects.
  if (typeof code === "string" && code.startsWith("ERR_")) return undefined;
  // Errors of this program, of the system and of the pools.
  if (/^(?:Error|Problem|AggregateError|KnexTimeoutError|TimeoutError|AbortError)$/.test(name)) return message;
  // V8 quotes names, and some values without marks behind them.
  if (name === "TypeError" || name === "RangeError") return message.replace(/["'`:].*/s, "…");
  return undefined; // SyntaxError, for one, quotes the text that could not be parsed
}

/** The calls, without the message before them. */
function framesOf(stack: string, message: string): string {
  const start = stack.indexOf(message) + message.length;
  return stack
    .slice(start)
    .split("\n")
    .filter((line) => /^ +at /.test(line))
    .join("\n");
}
