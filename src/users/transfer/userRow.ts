/** A user in a file that is imported or exported, as a JSON object or as a line of CSV. */
import { type CanonicalUsername, type UserId, userId } from "../../identifiers.ts";
import { beginsLikeToken, hasApiKeyShape } from "../../openapi/authorizationHeader.ts";
import { type ImportedHash, readImportedHash } from "../../passwords/foreign/importedHash.ts";
import type { HashCost } from "../../passwords/hashing.ts";
import { newUsername } from "../username.ts";

/** The members, in the order of an export. */
export const memberNames = ["id", "username", "password_hash", "created_at", "blocked", "roles"] as const;

export type UserRow = {
  id: UserId | undefined;
  username: CanonicalUsername;
  hash: ImportedHash;
  /** RFC 3339, with up to six digits for the fraction of a second. Postgres keeps all of them, and a `Date` does not. */
  createdAt: string | undefined;
  isBlocked: boolean;
  /** Without `default`, which every user has. */
  roles: readonly string[];
};

/** What a file may refer to. */
export type KnownValues = {
  /** The names of the roles. */
  roles: ReadonlySet<string>;
  defaultRole: string;
  /** The cost of the service's own hashes. */
  cost: HashCost;
};

/** Why a row is not imported: a sentence without its subject, in which no part of a hash occurs. */
export type Refusal = { refusal: string };

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const nilUuid = /^[0-]+$/;
/** Postgres has no year 0, and no time zone beyond 15:59. */
const timestamp = /^((?!0000)\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-5]):\d\d)$/;

class RefusedRow extends Error {}

/** @param record the members of a row; a member that is `undefined` or `null` counts as absent */
export function readUserRow(record: unknown, known: KnownValues): UserRow | Refusal {
  try {
    return readMembers(record, known);
  } catch (error) {
    if (error instanceof RefusedRow) return { refusal: error.message };
    throw error;
  }
}

function readMembers(record: unknown, known: KnownValues): UserRow {
  if (typeof record !== "object" || record === null || Array.isArray(record)) throw new RefusedRow("is not an object");
  const members: Record<string, unknown> = { ...record };
  // A member that is misspelt could be one that limits a user, such as `blocked`.
  const unknown = Object.keys(members).find((name) => !memberNames.some((known) => known === name));
  if (unknown !== undefined) throw new RefusedRow(`has the unknown member ${JSON.stringify(unknown.slice(0, 40))}`);
  return {
    id: readId(members["id"]),
    username: readUsername(members["username"]),
    hash: readHash(members["password_hash"], known.cost),
    createdAt: readTimestamp(members["created_at"]),
    isBlocked: readBoolean(members["blocked"]),
    roles: readRoles(members["roles"], known),
  };
}

function readUsername(value: unknown): CanonicalUsername {
  if (typeof value !== "string" || value === "") throw new RefusedRow("has no username");
  const username = beginsLikeToken(value) ? { refusal: "looks like a token" } : newUsername(value);
  if ("refusal" in username) throw new RefusedRow(`has a username that ${username.refusal}`);
  if (hasApiKeyShape(username.text)) throw new RefusedRow("has a username that looks like an API key");
  return username.text;
}

function readHash(value: unknown, cost: HashCost): ImportedHash {
  if (typeof value !== "string" || value === "") throw new RefusedRow('has no password_hash: use "!" for no password');
  const hash = readImportedHash(value, cost);
  if (!hash) throw new RefusedRow("has a password_hash of an unknown form");
  if ("refusal" in hash) throw new RefusedRow(`has a password_hash (${hash.form}) that ${hash.refusal}`);
  return hash;
}

function readId(value: unknown): UserId | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || !uuid.test(value) || nilUuid.test(value))
    throw new RefusedRow("has an id that is not a UUID: without an id, the user gets one");
  return userId(value.toLowerCase());
}

function readTimestamp(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  const text = typeof value === "string" ? value : "";
  const [, date] = timestamp.exec(text) ?? [];
  const time = Date.parse(text);
  // Date.parse accepts February 30.
  const isTime =
    date !== undefined && !Number.isNaN(time) && new Date(`${date}T00:00:00Z`).toISOString().startsWith(date);
  if (!isTime) throw new RefusedRow("has a created_at that is not a time of RFC 3339");
  if (time > Date.now() + 86_400_000) throw new RefusedRow("has a created_at in the future");
  return text;
}

function readBoolean(value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== "boolean") throw new RefusedRow("has a blocked that is neither true nor false");
  return value;
}

function readRoles(value: unknown, { roles, defaultRole }: KnownValues): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new RefusedRow("has roles that are not a list of names");
  for (const role of value) {
    if (typeof role !== "string") throw new RefusedRow("has roles that are not a list of names");
    if (!roles.has(role)) throw new RefusedRow(`has an unknown role: ${JSON.stringify(role.slice(0, 40))}`);
  }
  return [...new Set<string>(value)].filter((role) => role !== defaultRole);
}
