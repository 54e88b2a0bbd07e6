import type { Handler } from "../openapi/binding.ts";
import { Problem } from "../problems/problems.ts";

export const getLiveness: Handler<"getLiveness"> = () => ({ status: 200, body: { status: "ok" } });

/**
 * @param isMigrated queries the database, and throws `database-unavailable`
 * @param requireWritable throws `database-unavailable` if the database rejects writes
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
