import type { Mutation } from "../mutation.ts";

/** Connections, limits, TLS, log and metrics. */
export const http: readonly Mutation[] = [
  {
    name: "one network may hold every connection",
    file: "src/http/connectionLimits.ts",
    find: "const isShareUsed =\n      !isProxy &&",
    replace: "const isShareUsed =\n      isProxy &&",
    test: "test/connectionLimits.test.ts",
    only: ".",
  },
  {
    name: "requests sent ahead are all run at once",
    file: "src/http/requests.ts",
    find: "unanswered.size > pipelineLength",
    replace: "false",
    test: "test/framing.test.ts",
    only: "a hundred end the connection",
  },
  {
    name: "an answer to HEAD has a body",
    file: "src/http/refusal.ts",
    find: 'method === "HEAD" ? "" : body',
    replace: "body",
    test: "test/framing.test.ts",
    only: "HEAD",
  },
  {
    name: "TLS 1.1 is accepted",
    file: "src/tls.ts",
    find: 'minVersion: "TLSv1.2"',
    replace: 'minVersion: "TLSv1"',
    test: "test/tls.test.ts",
    only: "refuses TLS 1.1",
  },
  {
    name: "the log has the values of a driver's error",
    file: "src/operations/log.ts",
    find: "return { type, message, code, stack,",
    replace: "return { ...error, type, message, code, stack,",
    test: "test/secrets.test.ts",
    only: "planted everywhere",
  },
  {
    name: "audit events depend on LOG_LEVEL",
    file: "src/operations/log.ts",
    find: 'const lines = log.level === "silent" ? log : log.child({}, { level: "info" });',
    replace: "const lines = log;",
    test: "test/audit.test.ts",
    only: "LOG_LEVEL=",
  },
  {
    name: "readiness hides a stop",
    file: "src/operations/handlers.ts",
    find: "if (isStopping()) throw",
    replace: "if (false) throw",
    test: "test/shutdown.test.ts",
    only: "readiness turns",
  },
  {
    name: "readiness ignores a missing migration",
    file: "src/operations/handlers.ts",
    find: "if (!(await isMigrated())) throw",
    replace: "if (!(await isMigrated()) && false) throw",
    test: "test/getReadiness.test.ts",
    only: "503 where a migration",
  },
];
