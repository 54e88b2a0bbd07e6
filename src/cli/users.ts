/** `latchkey users`. */
import type { Define } from "./arguments.ts";
import { defineSetPassword } from "./users/setPassword.ts";
import { defineUnlock } from "./users/unlock.ts";

/** Each verb is a file of the folder users/. */
export const defineUsers: Define = (users, execute) => {
  for (const define of [defineSetPassword, defineUnlock]) define(users, execute);
};
