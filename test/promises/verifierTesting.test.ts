/** What the users of the verifier package write tests with, and what the package says about wrong options. */
import { describe, expect, test, vi } from "vitest";
import { createVerifier, requireScopes, type VerifierOptions } from "../../packages/verify/src/index.ts";
import { createTestIssuer, issueTestToken, type TestToken, testVerifier } from "../../packages/verify/src/testing.ts";
import { afterTest } from "../support/afterTest.ts";
import { outcome, slugOf } from "../support/verifiers.ts";

const issuer = createTestIssuer({ audience: "https://orders.example", registeredScopes: ["orders:read"] });
const answer = async (verifier: typeof issuer.verifier, credential: string, scopes?: string[]) => {
  const found = await outcome(verifier, `Bearer ${credential}`, scopes);
  return "problem" in found ? slugOf(found) : found;
};
const ask = (credential: string, scopes?: string[]) => answer(issuer.verifier, credential, scopes);

describe("a test issuer", () => {
  test("issues tokens that its verifier accepts, with what the test wants", async () => {
    const token = issuer.issueTestToken({
      scopes: ["orders:read"],
      userId: "a-user",
      username: "olivia",
      roles: ["clerk"],
      sessionId: "a-session",
    });
    expect(await ask(token, ["orders:read"])).toMatchObject({
      userId: "a-user",
      username: "olivia",
      scopes: new Set(["orders:read"]),
      roles: ["clerk"],
      sessionId: "a-session",
    });
    expect(await ask(issuer.issueTestToken())).toMatchObject({ username: "miguel", scopes: new Set() });
  });

  test("issues tokens that are refused for each reason", async () => {
    expect(await ask(issuer.issueTestToken({ lifetimeSeconds: -1 }))).toBe("token-expired");
    expect(await ask(issuer.issueTestToken(), ["orders:read"])).toBe("insufficient-scope");
    expect(await ask(issuer.issueTestToken({ claims: { aud: "https://elsewhere.example" } }))).toBe("invalid-token");
    expect(await ask(issuer.issueTestToken({ claims: { username: undefined } }))).toBe("invalid-token");
    expect(await ask(createTestIssuer({ audience: issuer.audience }).issueTestToken())).toBe("invalid-token");
    const token = issuer.issueTestToken();
    expect(await ask(token)).toMatchObject({ kind: "user" });
    await issuer.revoke(token);
    expect(await ask(token)).toBe("token-revoked");
  });

  test("issues tokens of clients that act for themselves", async () => {
    const token = issuer.issueTestToken({ clientId: "lkc_1", scopes: ["orders:read"] });
    const principal = await ask(token, ["orders:read"]);
    expect(principal).toMatchObject({ kind: "client", clientId: "lkc_1", roles: [], tokenId: expect.any(String) });
    expect(principal).not.toHaveProperty("userId");
    await issuer.revoke(token);
    expect(await ask(token)).toBe("token-revoked");
  });

  test.each<[string, TestToken]>([
    ["a client", { clientId: "lkc_1", claims: { epochs: {} } }],
    ["a user, through a registered client", { claims: { client_id: "lkc_1" } }],
  ])("refuses a token of %s that no change of the client could revoke", async (_case, token) => {
    expect(await ask(issuer.issueTestToken(token))).toBe("invalid-token");
    const claims = { ...token.claims, epochs: { "client:lkc_1": 1 } };
    expect(await ask(issuer.issueTestToken({ ...token, claims }))).toMatchObject({ clientId: "lkc_1" });
  });

  test("issues API keys, and revokes them", async () => {
    const key = issuer.issueTestApiKey({ scopes: ["orders:read"], username: "cron" });
    expect(await ask(key, ["orders:read"])).toMatchObject({ username: "cron", apiKeyId: expect.any(String) });
    await issuer.revoke(key);
    expect(await ask(key)).toBe("invalid-token");
    expect(await ask(issuer.issueTestApiKey({ lifetimeSeconds: -1 }))).toBe("token-expired");
  });

  test("serves a verifier that a service makes itself", async () => {
    const own = createVerifier({ maxStalenessSeconds: 5, ...issuer.options });
    afterTest(own.close);
    await own.ready();
    const token = issuer.issueTestToken();
    expect(await answer(own, token)).toMatchObject({ kind: "user" });
    await issuer.revoke(token);
    await vi.waitFor(async () => expect(await answer(own, token)).toBe("token-revoked"), 15_000);
    for (const verifier of [own, issuer.verifier])
      expect(await verifier.registeredScopes()).toEqual(new Set(["orders:read"]));
  });

  test("is shared by the tests of a process, for those that need no other", async () => {
    expect(await answer(testVerifier(), issueTestToken({ scopes: ["a"] }), ["a"])).toMatchObject({ kind: "user" });
    expect(await ask(issueTestToken())).toBe("invalid-token");
  });
});

test("a guard requires the same scopes of every request", async () => {
  const guard = requireScopes(issuer.verifier, ["orders:read"]);
  const authorize = async (token: string) =>
    guard.authorize({ method: "GET", url: "/", authorization: `Bearer ${token}` });
  expect(await authorize(issuer.issueTestToken({ scopes: ["orders:read"] }))).toMatchObject({ kind: "user" });
  await expect(authorize(issuer.issueTestToken())).rejects.toMatchObject({ status: 403 });
});

const wrong: [string, object][] = [
  ["issuer", { issuer: undefined }],
  ["issuer", { issuer: "latchkey" }],
  ["issuer", { issuer: "ftp://latchkey.example" }],
  ["issuer", { issuer: "https://latchkey.example?x=1" }],
  ["issuer", { issuer: "https://miguel:secret@latchkey.example" }],
  ["url", { url: "latchkey:8080" }],
  ["audience", { audience: "" }],
  ["audience", { audience: undefined }],
  ["credential", { credential: "two words" }],
  ["credential", { credential: "a\r\nHeader: b" }],
  ["maxStalenessSeconds", { maxStalenessSeconds: 0 }],
  ["maxStalenessSeconds", { maxStalenessSeconds: Number.NaN }],
  ["maxStalenessSeconds", { maxStalenessSeconds: Infinity }],
  ["maxRemembered", { maxRemembered: 0 }],
  ["maxRevocations", { maxRevocations: 0 }],
  ["onStale", { onStale: "ignore" }],
];
test.each(wrong)("a wrong %s is a TypeError that names it (%o)", (name, options) => {
  const make = () => createVerifier({ issuer: "https://a.example", audience: "b", ...options } as VerifierOptions);
  expect(make).toThrow(TypeError);
  expect(make).toThrow(name);
});

test.each([undefined, ""])(
  "a credential that is %o is a TypeError, and not a verifier without revocations",
  (credential) => {
    const make = () => createVerifier({ issuer: "https://a.example", audience: "b", credential } as VerifierOptions);
    expect(make).toThrow(TypeError);
    expect(make).toThrow("credential is undefined or empty. Leave it out to verify tokens without revocations.");
  },
);

test("an issuer with a slash at its end is the issuer without it", async () => {
  const verifier = createVerifier({ ...issuer.options, issuer: `${issuer.issuer}/` });
  afterTest(verifier.close);
  expect(await answer(verifier, issuer.issueTestToken())).toMatchObject({ kind: "user" });
});
