import type { SourceEdit } from "./build.ts";

/** A fault that no request can reveal. `nearest`: the promise that one would expect to detect it. */
export type UndetectableFault = { name: string; reason: string; nearest: string; edits: SourceEdit[] };

export const undetectableFaults: UndetectableFault[] = [
  {
    name: "body-of-a-head",
    reason: "Node.js sends no body in a response to HEAD, whatever the program writes",
    nearest: "head-equals-get",
    edits: [
      [
        "src/openapi/response.ts",
        "else response.end(body, length",
        'else response.write(body), response.end("", length',
      ],
    ],
  },
  {
    name: "faster-answer-for-unknown-users",
    reason:
      "a duration that is measured on a shared machine proves nothing; test/promises/sameWork.test.ts counts the work instead",
    nearest: "usernames-are-not-disclosed",
    edits: [["src/passwords/hashing.ts", "await compute(password ?? impossible, cost);\n          return", "return"]],
  },
  {
    name: "session-outlives-its-lifetime",
    reason:
      "SESSION_LIFETIME_DAYS is too long to wait for; test/operations/refreshToken.test.ts changes the stored times",
    nearest: "refresh-token-reuse-is-detected",
    edits: [
      ["src/sessions/store.ts", "make_interval(secs => :lifetime)", "make_interval(secs => :lifetime, years => 10)"],
    ],
  },
];
