/** How statements write the revocation list: every store revokes with this SQL, inside its own statement. */
import { revocationSubject } from "../database/columns.ts";
import { integer, timestamptz } from "../database/sqlTypes.ts";
import { clockMarginSeconds, maxEpoch } from "./revocations.ts";

type RevokeOptions = {
  /** The table or CTE whose rows name the revoked subjects; a single row without it. */
  from?: string;
  /** SQL of the subject. */
  subject?: string;
  /** SQL of the lowest epoch that stays valid; absent: none. */
  minimumEpoch?: string;
  /** SQL of the time at which the last token of the subject has expired; absent: when any token has. */
  expiresAt?: string;
  /** How long the transaction may take from here to its commit. Until then, tokens of lower epochs are issued. */
  commitSeconds?: number;
};

/**
 * SQL that inserts into the revocation list, or raises the entry that a subject has: the end of a statement, or a CTE of it.
 * Its rows have `revocationColumns`. The change that requires the revocation belongs in the same statement: both are committed,
 * or neither.
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

/** After a jump of the clock, or a pause of an instance, a record of a lifetime may be so much behind. */
const staleRecord = "interval '2 hours'";

/**
 * SQL of the time at which every token has expired that any instance has issued, or issues until now (tokens/lifetime.ts). If no
 * lifetime is recorded, the longest one counts.
 */
const everyTokenExpired = (commitSeconds: number): string => `(
  SELECT coalesce(
      max(make_interval(secs => seconds) + CASE
        WHEN issued_until > clock_timestamp() - ${staleRecord} THEN greatest(issued_until, clock_timestamp())
        ELSE issued_until END),
      clock_timestamp() + make_interval(secs => ${longestLifetimeSeconds})
    ) + make_interval(secs => ${clockMarginSeconds + commitSeconds})
  FROM token_lifetimes WHERE issued_until + make_interval(secs => seconds) + ${staleRecord} > clock_timestamp())`;

/** The columns of a `Revocation`, for the `SELECT` or `RETURNING` of a statement. */
export const selectedRevocation = 'subject, minimum_epoch AS "minimumEpoch", expires_at AS "expiresAt"';

/** The declaration of `selectedRevocation`. */
export const revocationColumns = { subject: revocationSubject, minimumEpoch: integer, expiresAt: timestamptz };
