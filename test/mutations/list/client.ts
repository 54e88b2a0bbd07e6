import type { Mutation } from "../mutation.ts";

/** The client, `latchkey/client`. */
export const client: readonly Mutation[] = [
  {
    name: "the client sends its token elsewhere",
    file: "src/client/client.ts",
    find: "!isBelow(baseUrl, request.url)",
    replace: "false",
    test: "test/promises/clientSecrets.test.ts",
    only: "a token stays with the service",
  },
  {
    name: "the client follows redirects",
    file: "src/client/client.ts",
    find: "withoutRedirects(fetch)",
    replace: "fetch",
    test: "test/promises/clientSecrets.test.ts",
    only: "a redirect is not followed",
  },
  {
    name: "the client does not renew a token that was refused",
    file: "src/client/client.ts",
    find: "!problem || !tokenProblems.includes(slugOf(problem))",
    replace: "!problem || tokenProblems.includes(slugOf(problem))",
    test: "test/promises/client.test.ts",
    only: "concurrent rejected calls share one refresh",
  },
  {
    name: "many calls of the client refresh at once",
    file: "src/client/session.ts",
    find: "session.renewal ??=",
    replace: "session.renewal =",
    test: "test/promises/client.test.ts",
    only: "concurrent rejected calls share one refresh",
  },
  {
    name: "the client uses a token that is over",
    file: "src/client/session.ts",
    find: "Date.now() < access.expiresAtMs",
    replace: "access.expiresAtMs > 0",
    test: "test/promises/client.test.ts",
    only: "is refreshed before a call where the client knows that it has expired",
  },
  {
    name: "the client repeats what may have been done",
    file: "src/client/retry.ts",
    find: 'method === "GET" || method === "HEAD"',
    replace: 'method !== ""',
    test: "test/promises/client.test.ts",
    only: "trying again",
  },
  {
    name: "the client ignores Retry-After",
    file: "src/client/retry.ts",
    find: "? retryAfterSeconds(outcome) : undefined",
    replace: "? 0 : undefined",
    test: "test/promises/client.test.ts",
    only: "trying again",
  },
  {
    name: "the client tries for ever",
    file: "src/client/retry.ts",
    find: "tries >= bounds.tries ||",
    replace: "",
    test: "test/promises/client.test.ts",
    only: "ends after the last attempt",
  },
];
