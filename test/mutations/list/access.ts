import type { Mutation } from "../mutation.ts";

/** Scopes, the cache of rights, and stored audit events. */
export const access: readonly Mutation[] = [
  {
    name: "scopes are not required",
    file: "src/openapi/guard.ts",
    find: "if (scopes.length === 0) return authenticated;",
    replace: "if (scopes.length >= 0) return authenticated;",
    test: "test/operations/listAuditEvents.test.ts",
    only: "403 for a user without the scope",
  },
  {
    name: "a row is cached although it changed while it was read",
    file: "src/revocations/cache.ts",
    find: "if (!loading.isOutdated && !isChanged) remember(key, loaded);",
    replace: "remember(key, loaded);",
    test: "test/promises/revocableCache.test.ts",
    only: "overtakes is not kept",
  },
  {
    name: "a request waits for a row that was read before a change",
    file: "src/revocations/cache.ts",
    find: "    currentLoads.clear();\n",
    replace: "",
    test: "test/promises/revocableCache.test.ts",
    only: "overtakes is not kept",
  },
  {
    name: "any number of refusals is stored",
    file: "src/audit/writer.ts",
    find: "(refusals.has(event) && !isWithinLimit())",
    replace: "false",
    test: "test/promises/auditEvents.test.ts",
    only: "flood of refusals",
  },
  {
    name: "events that are stored together are mixed up",
    file: "src/audit/store.ts",
    find: "\n    ORDER BY ordinality",
    replace: "",
    test: "test/promises/auditEvents.test.ts",
    only: "keep their order",
  },
  {
    name: "the event of a refused request does not say whose it is",
    file: "src/audit/auditRow.ts",
    find: '["password-accepted", "scope-refused"]',
    replace: '["password-accepted"]',
    test: "test/promises/auditEvents.test.ts",
    only: "with its user as the actor",
  },
  {
    name: "the events that wait at a shutdown are lost",
    file: "src/audit/writer.ts",
    find: "      await flush().catch(onError);\n",
    replace: "",
    test: "test/promises/auditEvents.test.ts",
    only: "a shutdown stores",
  },
];
