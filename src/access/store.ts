import { userId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { statement } from "../database/sql.ts";
import { arrayOf, text } from "../database/sqlTypes.ts";
import { administrator, defaultRole, type RightsStore } from "./rights.ts";

const findRights = statement({
  name: "find-rights",
  sql: `WITH held AS (SELECT role FROM user_roles WHERE user_id = :userId)
    SELECT ARRAY(SELECT role FROM held ORDER BY role) AS roles,
      ARRAY(SELECT DISTINCT unnest(scopes) FROM roles
        WHERE name = '${defaultRole}' OR name IN (SELECT role FROM held)) AS scopes`,
  parameters: { userId },
  columns: { roles: arrayOf(text), scopes: arrayOf(text) },
});

export const rightsStore = (database: Database): RightsStore => ({
  async findRights(userId) {
    const { roles, scopes } = await database.read((knex) => findRights.one(knex, { userId }));
    return { roles, scopes: new Set(scopes), isAdministrator: roles.includes(administrator) };
  },
});
