/** The kinds of tokens that clients have. */
import { parseToken } from "../sessions/refreshSecrets.ts";

export type TokenKind = "access-token" | "api-key" | "refresh-token";

/** The kind that a text may be, by its form. `token_type_hint` is not needed. */
export function kindOf(text: string): TokenKind {
  if (text.startsWith("lk_")) return "api-key";
  return parseToken(text) ? "refresh-token" : "access-token";
}
