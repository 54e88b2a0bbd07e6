/** The SQL that revokes. Every store uses it inside its own statements. */
import { revocationSubject } from "../database/columns.ts";
import { integer, json, timestamptz } from "../database/sqlTypes.ts";
import { clockMarginSeconds, maxEpoch, type Revocation } from "./revocations.ts";

type RevokeOptions = {
  /** The table or CTE whose rows name the revoked subjects. If absent, there is one subject. */
  from?: string;
  /** SQL of the subject. */
  subject?: string;
  /** SQL of the lowest epoch that stays valid. If absent, none does. */
  minimumEpoch?: string;
  /** SQL of the time at which the last token of the subject has expired. By default, the time at which every token has. */
  expiresAt?: string;
  /** How long the transaction may take until its commit. Until then, tokens of lower epochs are issued. */
  commitSeconds?: number;
};

/**
 * SQL that inserts an entry into the revocation list, or raises the entry of a subject. It is the end of a statement, or one of
 * its CTEs. Its rows have `revocationColumns`. The change that requires the revocation must be in the same statement, so that
 * both are committed or neither.
 */
export function revoke({ from, subject = "id", minimumEpoch, expiresAt, commitSeconds = 0 }: RevokeOptions): string {
  return `INSERT INTO revocations (subject, minimum_epoch, expires_at, is_unique)
    SELECT ${subject}, ${minimumEpoch ?? maxEpoch}, ${expiresAt ?? everyTokenExpired(commitSeconds)}, true
    ${from === undefined ? "" : `FROM ${from}`}
    ON CONFLICT (subject) WHERE is_unique DO UPDATE
      SET minimum_epoch = greatest(revocations.minimum_epoch, excluded.minimum_epoch),
          expires_at = greatest(revocations.expires_at, excluded.expires_at),
          xid = pg_current_xact_id()
    RETURNING ${selectedRevocation}`;
}

/** The longest lifetime that the settings allow (`TOKEN_TTL_SECONDS`). */
export const longestLifetimeSeconds = 86_400;

/** The record of a lifetime may be this late after a clock jump or a pause of an instance. */
const staleRecord = "interval '2 hours'";

/** No token of the longest lifetime expires later, unless the clock was set back further. */
const longestKept = `make_interval(secs => ${longestLifetimeSeconds}) + interval '1 hour'`;

/**
 * SQL of the time at which every token has expired that any instance has issued so far (tokens/lifetime.ts). If no lifetime is
 * recorded, the longest lifetime counts. While the clock was ahead, records may have been made for years, so there is a limit.
 */
const everyTokenExpired = (commitSeconds: number): string => `(
  SELECT least(
      max(make_interval(secs => seconds) + CASE
        WHEN issued_until > clock_timestamp() - ${staleRecord} THEN greatest(issued_until, clock_timestamp())
        ELSE issued_until END),
      clock_timestamp() + ${longestKept}
    ) + make_interval(secs => ${clockMarginSeconds + commitSeconds})
  FROM token_lifetimes WHERE issued_until + make_interval(secs => seconds) + ${staleRecord} > clock_timestamp())`;

/** The columns of a `Revocation`, for the `SELECT` or `RETURNING` of a statement. */
export const selectedRevocation = 'subject, minimum_epoch AS "minimumEpoch", expires_at AS "expiresAt"';

/** The declaration of `selectedRevocation`. */
export const revocationColumns = { subject: revocationSubject, minimumEpoch: integer, expiresAt: timestamptz };

/** SQL of the entries that the CTE `revoked` has stored, as one column of a statement that returns something else as well. */
export const selectedRevocations = "(SELECT coalesce(json_agg(revoked), '[]') FROM revoked)";

type RevocationAsJson = Omit<Revocation, "expiresAt"> & { expiresAt: string };

/** The declaration of `selectedRevocations`. */
export const revocationsColumn = json<RevocationAsJson[]>();

/** Reads a `revocationsColumn`. */
export const toRevocations = (entries: readonly RevocationAsJson[]): Revocation[] =>
  entries.map((entry) => ({ ...entry, expiresAt: new Date(entry.expiresAt) }));
