import type { CanonicalUsername } from "../identifiers.ts";
import { maxUsernameLength } from "../openapi/authorizationHeader.ts";
import { mapUsername } from "../unicode/mappings.ts";
import { codePointCount, enforceUsername } from "../unicode/precis.ts";

/** In code points, after the mappings. */
const maximumLength = 64;
/** In UTF-16 units, before the mappings: many times what 64 code points need. Longer texts are not normalized. */
const maxTypedLength = 1024;

/** A name that no user has. An invalid name is looked up as this one, so that it takes the same work as any other. */
export const nobody = "" as CanonicalUsername;

export type NewUsername = { text: CanonicalUsername } | { refusal: string };

/**
 * The form in which a new username is compared and stored (RFC 8265, UsernameCaseMapped): 1 to 64 code points, no space, and no
 * colon, which a Basic username cannot contain (RFC 7617).
 */
export function newUsername(text: string): NewUsername {
  // In a Basic username, it would be a token.
  if (text.length > maxUsernameLength) return tooLong;
  const username = enforceUsername(text);
  if ("refusal" in username) return username;
  if (username.text.includes(":")) return { refusal: "has a colon" };
  return codePointCount(username.text) <= maximumLength ? { text: username.text as CanonicalUsername } : tooLong;
}

const tooLong = { refusal: `has more than ${maximumLength} characters` };

/**
 * The form in which a username is looked up. It is not checked against the rules for new names: an earlier version may have
 * accepted the name, and no user has an invalid one.
 * @returns `undefined` if the database cannot store the text
 */
export function canonicalUsername(text: string): CanonicalUsername | undefined {
  if (text.length > maxTypedLength || !text.isWellFormed() || text.includes("\0")) return undefined;
  const username = mapUsername(text);
  return username !== "" && codePointCount(username) <= maximumLength ? (username as CanonicalUsername) : undefined;
}
