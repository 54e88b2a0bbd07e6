/** How statements write the revocation list: every store revokes with this SQL, inside its own statement. */
import { revocationSubject } from "../database/columns.ts";
import { integer, timestamptz } from "../database/sqlTypes.ts";
import { everyEpoch, longestRevocationSeconds } from "./revocations.ts";

type RevokeOptions = {
  /** The table or CTE whose rows name the revoked subjects; a single row without it. */
  from?: string;
  /** SQL of the subject. */
  subject?: string;
  /** SQL of the lowest epoch that stays valid; absent: none. */
  minimumEpoch?: string;
  /** SQL of the time at which the last of the subject's tokens has expired; absent: when any token has. */
  expiresAt?: string;
};

/**
 * SQL that inserts into the revocation list: the end of a statement, or a CTE of it. Its rows have `revocationColumns`.
 * The change that requires the revocation belongs in the same statement: both are committed, or neither.
 */
export function revoke({ from, subject = "id", minimumEpoch, expiresAt }: RevokeOptions): string {
  return `INSERT INTO revocations (subject, minimum_epoch, expires_at)
    SELECT ${subject}, ${minimumEpoch ?? everyEpoch}, ${expiresAt ?? `now() + make_interval(secs => ${longestRevocationSeconds})`}
    ${from === undefined ? "" : `FROM ${from}`}
    RETURNING ${selectedRevocation}`;
}

/** The columns of a `Revocation`, for the `SELECT` or `RETURNING` of a statement. */
export const selectedRevocation = 'subject, minimum_epoch AS "minimumEpoch", expires_at AS "expiresAt"';

/** The declaration of `selectedRevocation`. */
export const revocationColumns = { subject: revocationSubject, minimumEpoch: integer, expiresAt: timestamptz };
