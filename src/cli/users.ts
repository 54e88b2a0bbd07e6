/** `latchkey users`. */
import type { Define } from "./arguments.ts";
import { defineExport } from "./users/export.ts";
import { defineImport } from "./users/import.ts";
import { defineSetPassword } from "./users/setPassword.ts";
import { defineSignOut } from "./users/signOut.ts";
import { defineUnlock } from "./users/unlock.ts";

/** Each verb is a file of the folder users/. */
export const defineUsers: Define = (users, execute) => {
  for (const define of [defineSetPassword, defineSignOut, defineUnlock, defineImport, defineExport])
    define(users, execute);
};
