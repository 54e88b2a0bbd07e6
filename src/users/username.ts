import { codePointCount, usernameCaseMapped } from "../unicode/precis.ts";

const maximumLength = 64;

/**
 * The form in which a username is compared and kept (RFC 8265, UsernameCaseMapped): 1 to 64 code
 * points, no colon (RFC 7617 could not carry it), no space.
 * @returns `undefined` where the text cannot be a username.
 */
export function canonicalUsername(text: string): string | undefined {
  const username = usernameCaseMapped(text);
  return username !== undefined && !username.includes(":") && codePointCount(username) <= maximumLength
    ? username
    : undefined;
}
