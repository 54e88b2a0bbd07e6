/** Classifies errors of Postgres, `pg` and Knex: outages, rejections and bugs. */
import { Problem } from "../problems/problems.ts";

/** The database cannot be used until the operator changes it. The message is for the operator. */
export class UnsuitableDatabaseError extends Error {}

/** The message of `pg` for a query that timed out. */
export const queryTimedOut = "Query read timeout";

export const readOnlyCode = "25006";

/** An error like that of Postgres for a write to a standby, or to a database that is set to read-only. */
export const readOnlyError = (): Error =>
  Object.assign(new Error("the server is read-only: a standby, or default_transaction_read_only is on"), {
    code: readOnlyCode,
  });

type DriverError = Error & { code?: string; routine?: string };

// First, SQLSTATE codes (PostgreSQL manual, appendix A): connection exception (08), role or database rejected (28, 3D000),
// serialization failure and deadlock (40), insufficient resources (53), operator intervention (57), not in prerequisite state
// (55000), lock not available (55P03), idle in transaction and transaction timeout (25P03, 25P04), read-only transaction (25006).
// Then codes of the operating system and of TLS. Then messages of pg and Knex, whose errors have no codes.
const outageCodes =
  /^(?:08...|28...|3D000|40001|40P01|53...|57...|55000|55P03|25P03|25P04|25006|E(?!RR_)[A-Z_]+|ERR_(?:TLS|SSL)_.*|(?:.*_)?CERT(?:_.*)?|UNABLE_TO_.*)$/;
const outageMessages =
  /Query read timeout|timeout expired|Timeout acquiring a connection|Connection terminated|Connection ended|not queryable|Unable to acquire a connection|establishing an SSL connection/;
// Only errors of the connection itself: if the server is overloaded, an immediate retry would make it worse.
const brokenCodes = /^(?:08...|57P0.|E(?:PIPE|CONNRESET))$/;
const brokenMessages = /Connection terminated|Connection ended|not queryable/;

/**
 * Functions of Postgres that raise 0A000 (feature_not_supported) only in recovery, for unlogged tables, isolation and access
 * mode. Unlike messages, these names are not translated. Any other 0A000 is a bug.
 */
const recoveryRoutines = /^(?:get_relation_info|check_(?:transaction_|Xact)(?:isolation|IsoLevel|read_only|ReadOnly))$/;

/** Whether the server is a standby or read-only: its connection must not be used again. */
export function isReadOnlyServer(error: unknown): boolean {
  const { code, routine = "" } = error as Partial<DriverError>;
  return code === readOnlyCode || (code === "0A000" && recoveryRoutines.test(routine));
}

/** Whether the database is unavailable, as opposed to a bug in the query. */
export const isOutage = (error: unknown): boolean =>
  error instanceof UnsuitableDatabaseError ||
  (error instanceof Error && isReadOnlyServer(error)) ||
  matches(error, outageCodes, outageMessages);

/** Whether only the connection broke: a new one may work immediately. */
export const isBrokenConnection = (error: unknown): boolean => matches(error, brokenCodes, brokenMessages);

/** Whether Postgres rejects the role, its password or the database: a retry does not help. */
export const isConnectionRejected = (error: unknown): boolean => matches(error, /^(?:28...|3D000)$/, /^$/);

/** Whether writes fail until an operator acts: the disk is full, privileges are missing, or the server is read-only. */
export const isWriteRejected = (error: unknown): boolean =>
  error instanceof Error && (isReadOnlyServer(error) || matches(error, /^(?:53100|42501)$/, /^$/));

/** Whether other transactions hold the locks that a statement needs: lock not available, or deadlock. */
export const isLockConflict = (error: unknown): boolean => matches(error, /^(?:55P03|40P01)$/, /^$/);

/** @returns `warn` without outages, whose beginning and end `openPools` logs */
export const unlessOutage =
  (warn: (error: unknown) => void) =>
  (error: unknown): void => {
    if (!(error instanceof Problem && error.slug === "database-unavailable")) warn(error);
  };

/** Whether a change violates the named constraint (SQLSTATE class 23), or a trigger that raises its violation. */
export function violates(error: unknown, constraint: string): boolean {
  const { code = "", constraint: violated } = error as { code?: string; constraint?: string };
  return code.startsWith("23") && violated === constraint;
}

function matches(error: unknown, codes: RegExp, messages: RegExp): boolean {
  if (!(error instanceof Error)) return false;
  const { code, message } = error as DriverError;
  return (code !== undefined && codes.test(code)) || messages.test(message);
}
