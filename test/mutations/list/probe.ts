import type { Mutation } from "../mutation.ts";

/** `latchkey probe`. */
export const probe: readonly Mutation[] = [
  {
    name: "the probe takes every error for a refusal",
    file: "src/cli/probe/judge.ts",
    find: "(!isRefused(answer) && !differs)",
    replace: "(answer.status === 0 && !differs)",
    test: "test/promises/probe.test.ts",
    only: "guarded handler that is not found",
  },
  {
    name: "the probe sends a valid token with methods that change something",
    file: "src/cli/probe/run.ts",
    find: "        probed.filter(({ method }) => isSafe(method)),",
    replace: "        probed,",
    test: "test/promises/probe.test.ts",
    only: "never with a valid credential",
  },
  {
    name: "the probe has no limit",
    file: "src/cli/probe/send.ts",
    find: "requests >= maxRequests",
    replace: "maxRequests < 0",
    test: "test/promises/probe.test.ts",
    only: "limits end the probe",
  },
  {
    name: "the probe uses a token before it is revoked",
    file: "src/cli/probe/credentialChecks.ts",
    find: "  await revoke();",
    replace: "  void revoke;",
    test: "test/promises/probe.test.ts",
    only: "nothing gets through where there is no hole",
  },
  {
    name: "a probe that ends early leaves its session behind",
    file: "src/cli/probe.ts",
    find: "await credentials?.session.revoke().catch(() => {});",
    replace: "",
    test: "test/promises/probe.test.ts",
    only: "leaves no session behind",
  },
  {
    name: "a half of a surrogate pair in a contract ends the probe",
    file: "src/cli/probe/targets.ts",
    find: "encodeURIComponent(text.toWellFormed())",
    replace: "encodeURIComponent(text)",
    test: "test/promises/probe.test.ts",
    only: "halves of surrogate pairs",
  },
];
