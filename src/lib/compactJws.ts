/**
 * Whether a text has the three parts of a JWS in canonical base64url (RFC 7515, section 7.1; RFC 4648, section 5). Node's decoder also
 * accepts spaces, other alphabets and unused bits, so that one JWS could be written in many ways.
 */
export function isCanonicalJws(text: string): boolean {
  const parts = text.split(".");
  const isCanonical = (part: string) => part !== "" && Buffer.from(part, "base64url").toString("base64url") === part;
  return parts.length === 3 && parts.every(isCanonical);
}
