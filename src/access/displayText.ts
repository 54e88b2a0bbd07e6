/** Names and descriptions for people, which appear in logs, tables and terminals. */
import { invalidRequest } from "../problems/problems.ts";

/** Characters that change or break a line, and those that are no text. Postgres cannot store some of them in JSON. */
const unprintable = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Noncharacter_Code_Point}\uFFFD]/u;

/** @throws {Problem} `invalid-request` */
export function requireDisplayable(text: string, pointer: string): void {
  if (unprintable.test(text)) throw invalidRequest({ pointer, detail: "has a character that cannot be displayed" });
}
