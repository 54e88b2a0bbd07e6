import type { CanonicalUsername } from "../identifiers.ts";
import { mapUsername } from "../unicode/mappings.ts";
import { codePointCount, enforceUsername } from "../unicode/precis.ts";

/** In code points, after the mappings. */
const maximumLength = 64;
/** Before the mappings, in UTF-16 units: many times what 64 code points need. */
const maxTypedLength = 1024;

/** A name that no user has. An impossible name is looked up as this one, with the same work as any other. */
export const nobody = "" as CanonicalUsername;

export type NewUsername = { text: CanonicalUsername } | { refusal: string };

/**
 * The form in which a new username is compared and stored (RFC 8265, UsernameCaseMapped): 1 to 64 code points, no colon
 * (RFC 7617 cannot carry it), no space.
 */
export function newUsername(text: string): NewUsername {
  if (text.length > maxTypedLength) return tooLong;
  const username = enforceUsername(text);
  if ("refusal" in username) return username;
  if (username.text.includes(":")) return { refusal: "has a colon" };
  return codePointCount(username.text) <= maximumLength ? { text: username.text as CanonicalUsername } : tooLong;
}

const tooLong = { refusal: `has more than ${maximumLength} characters` };

/**
 * The form in which a username is looked up. It is not checked: nobody has registered an impossible name, and a name that an
 * earlier version accepted is still found.
 * @returns `undefined` if the database cannot store the text
 */
export function canonicalUsername(text: string): CanonicalUsername | undefined {
  if (text.length > maxTypedLength || !text.isWellFormed() || text.includes("\0")) return undefined;
  const username = mapUsername(text);
  return username !== "" && codePointCount(username) <= maximumLength ? (username as CanonicalUsername) : undefined;
}
