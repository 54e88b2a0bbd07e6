/** `latchkey migrate`: applies the missing migrations. */
import { migrateWithTimeout, openPostgres } from "../database/openPostgres.ts";
import type { Run } from "./arguments.ts";

export const migrate = (): Run => async (config, log) => {
  const postgres = await openPostgres(config, log);
  try {
    const applied = await migrateWithTimeout(postgres.address, log);
    log.info(applied.length > 0 ? "the schema is up to date now" : "the schema was up to date");
  } finally {
    await postgres.close();
  }
};
