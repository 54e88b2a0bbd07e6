import type { Mutation } from "../mutation.ts";

/** The client, `latchkey/client`. */
export const client: readonly Mutation[] = [
  {
    name: "the client sends its token to another service",
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
    name: "the client does not replace a rejected token",
    file: "src/client/client.ts",
    find: "!problem || !tokenProblems.includes(slugOf(problem))",
    replace: "!problem || tokenProblems.includes(slugOf(problem))",
    test: "test/promises/client.test.ts",
    only: "concurrent rejected calls share one refresh",
  },
  {
    name: "concurrent calls of the client refresh several times",
    file: "src/client/session.ts",
    find: "session.renewal ??=",
    replace: "session.renewal =",
    test: "test/promises/client.test.ts",
    only: "concurrent rejected calls share one refresh",
  },
  {
    name: "the client sends an expired token",
    file: "src/client/session.ts",
    find: "Date.now() < access.expiresAtMs",
    replace: "access.expiresAtMs > 0",
    test: "test/promises/client.test.ts",
    only: "is refreshed before a call where the client knows that it has expired",
  },
  {
    name: "the client retries a request that may have been processed",
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
    name: "the client retries without a limit",
    file: "src/client/retry.ts",
    find: "tries >= bounds.tries ||",
    replace: "",
    test: "test/promises/client.test.ts",
    only: "ends after the last attempt",
  },
];
