import type { SourceEdit } from "./build.ts";

/** A fault that requests cannot show. `nearest`: the promise that would be expected to find it. */
export type UndetectableFault = { name: string; why: string; nearest: string; edits: SourceEdit[] };

export const undetectableFaults: UndetectableFault[] = [
  {
    name: "body-of-a-head",
    why: "Node's server sends no body in a response to HEAD, whatever the program writes",
    nearest: "head-is-get",
    edits: [
      ["contract/dispatch.ts", "else response.end(body);", 'else { response.write(body ?? ""); response.end(); }'],
    ],
  },
  {
    name: "faster-answer-for-unknown-users",
    why: "a time that is measured on a shared machine proves nothing; test/promises/sameWork.test.ts counts the work instead",
    nearest: "usernames-are-not-disclosed",
    edits: [["passwords/hashing.ts", "await compute(password ?? impossible, cost);\n          return", "return"]],
  },
  {
    name: "session-outlives-its-lifetime",
    why: "SESSION_LIFETIME_DAYS cannot be waited for; tests with a clock of their own advance it",
    nearest: "reuse-is-noticed",
    edits: [["sessions/store.ts", "make_interval(secs => :lifetime)", "make_interval(secs => :lifetime, years => 10)"]],
  },
];
