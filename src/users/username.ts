import { mapUsername } from "../unicode/mappings.ts";
import { codePointCount, type Enforced, enforceUsername } from "../unicode/precis.ts";

/** In code points, after the mappings. */
const maximumLength = 64;
/** Many times what 64 code points are typed with. In UTF-16 units. */
const longestTyped = 1024;

/**
 * The form in which a new username is compared and kept (RFC 8265, UsernameCaseMapped): 1 to 64 code points, no colon
 * (RFC 7617 could not carry it), no space.
 */
export function newUsername(text: string): Enforced {
  if (text.length > longestTyped) return tooLong;
  const username = enforceUsername(text);
  if ("refusal" in username) return username;
  if (username.text.includes(":")) return { refusal: "has a colon" };
  return codePointCount(username.text) <= maximumLength ? username : tooLong;
}

const tooLong: Enforced = { refusal: `has more than ${maximumLength} characters` };

/**
 * The form in which a username is looked for. It is not checked: nobody has registered an impossible one, and a name that an
 * earlier version accepted is still found.
 * @returns `undefined` where the database could not keep such a text
 */
export function canonicalUsername(text: string): string | undefined {
  if (text.length > longestTyped || !text.isWellFormed() || text.includes("\0")) return undefined;
  const username = mapUsername(text);
  return username !== "" && codePointCount(username) <= maximumLength ? username : undefined;
}
