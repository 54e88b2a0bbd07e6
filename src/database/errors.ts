/** What an error of Postgres, `pg` or Knex means: an outage, a refusal, or a mistake of ours. */

import { Problem } from "../problems/problems.ts";

/** The database cannot be used until somebody changes it. Its message is a sentence for the operator. */
export class UnsuitableDatabaseError extends Error {}

/** What `pg` says when a query has no answer in time. */
export const queryTimedOut = "Query read timeout";

export const readOnlyCode = "25006";

/** An error like Postgres' own for a write to a standby or to a database that is set to read-only. */
export const readOnlyError = (): Error =>
  Object.assign(new Error("the server is read-only: a standby, or default_transaction_read_only is on"), {
    code: readOnlyCode,
  });

type DriverError = Error & { code?: string; routine?: string };

// Classes and codes of Postgres' appendix A: connection exceptions; role or database refused; out of
// resources (too many connections, disk full); a deadlock, or a transaction to be tried again; operator
// intervention (shutdown, statement timeout); closed for maintenance; lock not available; idle in
// transaction; read-only, as after a failover. Then the system's own, and those of pg and Knex, which
// have only a message, of TLS among them: EAI_AGAIN is a name server that is away.
const outageCodes =
  /^(?:08...|28...|3D000|40001|40P01|53...|57...|55000|55P03|25P03|25P04|25006|E(?!RR_)[A-Z_]+|ERR_(?:TLS|SSL)_.*|(?:.*_)?CERT(?:_.*)?|UNABLE_TO_.*)$/;
const outageMessages =
  /Query read timeout|timeout expired|Timeout acquiring a connection|Connection terminated|Connection ended|not queryable|Unable to acquire a connection|establishing an SSL connection/;
// The same without what says that the server is there and has too much to do: trying again at once
// would make that worse.
const brokenCodes = /^(?:08...|57P0.|E(?:PIPE|CONNRESET))$/;
const brokenMessages = /Connection terminated|Connection ended|not queryable/;

/**
 * Functions of Postgres that raise 0A000 (feature_not_supported) only in recovery: unlogged tables, isolation and
 * access mode. Messages are translated (lc_messages); these names are not. Any other 0A000 is a mistake of ours.
 */
const recoveryRoutines = /^(?:get_relation_info|check_(?:transaction_|Xact)(?:isolation|IsoLevel|read_only|ReadOnly))$/;

/** Whether the server refuses writes, or all that a standby cannot do: its connection must not be used again. */
export function isReadOnlyServer(error: unknown): boolean {
  const { code, routine = "" } = error as Partial<DriverError>;
  return code === readOnlyCode || (code === "0A000" && recoveryRoutines.test(routine));
}

/** Whether a failure means that the database is away, and not that we asked for something wrong. */
export const isOutage = (error: unknown): boolean =>
  error instanceof UnsuitableDatabaseError ||
  (error instanceof Error && isReadOnlyServer(error)) ||
  matches(error, outageCodes, outageMessages);

/** Whether the connection broke, so that another one may work at once. */
export const isBrokenConnection = (error: unknown): boolean => matches(error, brokenCodes, brokenMessages);

/** Whether Postgres answers, and refuses the role, its password or the database: waiting does not help. */
export const isRefusal = (error: unknown): boolean => matches(error, /^(?:28...|3D000)$/, /^$/);

/** Whether writes fail until the operator acts: the disk is full, rights are missing, or it is read-only. */
export const isWriteRefusal = (error: unknown): boolean =>
  error instanceof Error && (isReadOnlyServer(error) || matches(error, /^(?:53100|42501)$/, /^$/));

/** @returns `warn` for errors other than outages, which `openDatabases` logs once as they begin and once as they end */
export const exceptOutages =
  (warn: (error: unknown) => void) =>
  (error: unknown): void => {
    if (!(error instanceof Problem && error.slug === "database-unavailable")) warn(error);
  };

/** Whether Postgres refused a row because of the named unique constraint (SQLSTATE 23505). */
export function violates(error: unknown, constraint: string): boolean {
  const { code, constraint: violated } = error as { code?: string; constraint?: string };
  return code === "23505" && violated === constraint;
}

function matches(error: unknown, codes: RegExp, messages: RegExp): boolean {
  if (!(error instanceof Error)) return false;
  const { code, message } = error as DriverError;
  return (code !== undefined && codes.test(code)) || messages.test(message);
}
