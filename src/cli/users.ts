/** `latchkey users`. Each verb, or a few similar ones, is a file of the folder users/. */
import type { Define } from "./arguments.ts";
import { defineBlock, defineSetRoles, defineUnblock } from "./users/change.ts";
import { defineCreate } from "./users/create.ts";
import { defineDelete } from "./users/delete.ts";
import { defineExport } from "./users/export.ts";
import { defineImport } from "./users/import.ts";
import { defineList, defineShow } from "./users/list.ts";
import { defineSetPassword } from "./users/setPassword.ts";
import { defineSignOut } from "./users/signOut.ts";
import { defineUnlock } from "./users/unlock.ts";

const verbs: readonly Define[] = [
  defineCreate,
  defineList,
  defineShow,
  defineSetPassword,
  defineSetRoles,
  defineBlock,
  defineUnblock,
  defineUnlock,
  defineSignOut,
  defineDelete,
  defineImport,
  defineExport,
];

export const defineUsers: Define = (users, execute) => {
  for (const define of verbs) define(users, execute);
};
