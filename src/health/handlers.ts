import type { Handler } from "../openapi/binding.ts";
import { Problem } from "../problems/problems.ts";

export const getLiveness: Handler<"getLiveness"> = () => ({ status: 200, body: { status: "ok" } });

/**
 * @param isMigrated asks the database; its problem `database-unavailable` is an answer too
 * @param requireWritable throws `database-unavailable` where nothing can be written
 */
export const getReadiness =
  (
    isMigrated: () => Promise<boolean>,
    requireWritable: () => Promise<void>,
    isStopping: () => boolean,
  ): Handler<"getReadiness"> =>
  async () => {
    if (isStopping()) throw new Problem("shutting-down");
    if (!(await isMigrated())) throw new Problem("schema-mismatch");
    await requireWritable();
    return { status: 200, body: { status: "ok" } };
  };
