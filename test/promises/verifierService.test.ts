/** The verifier beside a real Latchkey: whatever ends a credential ends it in the other service, too, within a second. */
import { setTimeout as sleep } from "node:timers/promises";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { describe, expect, test } from "vitest";
import { refusals } from "../../packages/verify/src/refusal.ts";
import { problems } from "../../src/problems/catalogue.ts";
import { createKey } from "../support/apiKeys.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey, startTestService } from "../support/service.ts";
import { type ApiUser, issuer, verifiedApi } from "../support/verifiedApi.ts";
import { outcome, startVerifier } from "../support/verifiers.ts";

const service = await startTestService();
const other = await startTestService({}, service.databaseUrl);
const api = await verifiedApi(service);
const { verifier, start, user, token, key, asAdmin, credential } = api;
/** Its Latchkey is the instance that learns of changes from the database. */
const elsewhere = start({ url: other.url });
await elsewhere.ready();

/** Asks until the credential is refused, which both verifiers must do within a second. Returns the refusals. */
async function refusalsOf(sent: string, scopes?: readonly string[]): Promise<string[]> {
  const began = performance.now();
  const refusal = async (asked: typeof verifier): Promise<string> => {
    for (;;) {
      const found = await asked.ask(sent, scopes);
      if (typeof found === "string") return found;
      if (performance.now() - began > 1_000) return "accepted for more than a second";
      await sleep(2);
    }
  };
  return Promise.all([refusal(verifier), refusal(elsewhere)]);
}
const accepts = async (sent: string, scopes?: readonly string[]) => {
  for (const asked of [verifier, elsewhere]) {
    for (let use = 0; use < 2; use += 1) expect(await asked.ask(sent, scopes)).toMatchObject({ kind: "user" });
  }
};

test("a token for the API is accepted, with the scopes and roles of its user", async () => {
  const clerk = await user();
  const sent = await token(clerk);
  const { jti, sid, exp = 0 } = decodeJwt(sent);
  expect(await verifier.ask(sent, ["orders:read", "orders:write"])).toEqual({
    kind: "user",
    userId: clerk.id,
    username: clerk.username,
    clientId: "latchkey",
    scopes: new Set(["orders:read", "orders:write"]),
    roles: ["clerk"],
    tokenId: jti,
    sessionId: sid,
    expiresAt: new Date(exp * 1000),
  });
  expect(await verifier.ask(await token(await user([])), ["orders:read"])).toBe("insufficient-scope");
});

test("a token for Latchkey itself, or for another API, is refused", async () => {
  const { username } = await user();
  expect(await verifier.ask(await service.token(username))).toBe("invalid-token");
  const inventory = start({ audience: "https://inventory.example" });
  expect(await inventory.ask(await token(await user()))).toBe("invalid-token");
});

test("the scopes of the API are those that are registered", async () => {
  expect(await verifier.registeredScopes()).toEqual(new Set(["orders:read", "orders:write"]));
  expect(await startVerifier({ issuer, url: service.url }).registeredScopes()).toBeUndefined();
});

test("the error says why Latchkey refuses to return the registered scopes", async () => {
  const { admin } = api;
  const { key: limited } = await createKey(service, { basic: admin }, { scopes: ["revocations:read"] });
  const unknown = limited.replace(/.{8}$/, "AAAAAAAA");
  await expect(start({ credential: limited }).registeredScopes()).rejects.toThrow("scope apis:read");
  await expect(start({ credential: unknown }).registeredScopes()).rejects.toThrow("the credential is not valid");
  await expect(start({ audience: "https://other.example" }).registeredScopes()).rejects.toThrow("not a registered API");
});

const endings: [string, (user: ApiUser, sent: string) => Promise<unknown>][] = [
  ["the end of its session", (_, sent) => deleteSession(sent)],
  ["a sign-out everywhere", ({ basic }) => service.send("DELETE", "/api/sessions", { basic })],
  ["a block", ({ id }) => asAdmin("PATCH", `/api/users/${id}`, { blocked: true })],
  ["the deletion of the user", ({ basic }) => service.send("DELETE", "/api/users/me", { basic })],
  ["a deletion by an administrator", ({ id }) => asAdmin("DELETE", `/api/users/${id}`)],
  [
    "a change of the password",
    ({ id }) => asAdmin("PUT", `/api/users/${id}/password`, { new_password: "another horse battery" }),
  ],
  ["the loss of a role", ({ id }) => asAdmin("PATCH", `/api/users/${id}`, { roles: [] })],
  ["a revocation by whoever found it", (_, sent) => revokeFound(sent)],
];
async function deleteSession(sent: string) {
  const { sub, sid } = decodeJwt(sent);
  return asAdmin("DELETE", `/api/users/${sub}/sessions/${sid}`);
}
const revokeFound = (found: string) =>
  service.send("POST", "/oauth/revoke", {
    body: String(new URLSearchParams({ token: found })),
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });

describe("within a second, in a service beside either instance, a token is refused after", () => {
  test.each(endings)("%s", async (_name, end) => {
    const owner = await user();
    const sent = await token(owner);
    const neighbour = await token(await user());
    await accepts(sent);
    await end(owner, sent);
    expect(await refusalsOf(sent)).toEqual(["token-revoked", "token-revoked"]);
    await accepts(neighbour);
  });

  test("a change of a role, and a token that is issued later is accepted", async () => {
    await asAdmin("PUT", "/api/roles/packer", { scopes: ["orders:read"] });
    const packer = await user(["packer"]);
    const sent = await token(packer);
    await accepts(sent, ["orders:read"]);
    await asAdmin("PUT", "/api/roles/packer", { scopes: ["orders:write"] });
    expect(await refusalsOf(sent)).toEqual(["token-revoked", "token-revoked"]);
    await accepts(await token(packer), ["orders:write"]);
    await asAdmin("DELETE", "/api/roles/packer");
    expect(await refusalsOf(await token(packer), ["orders:write"])).toEqual([
      "insufficient-scope",
      "insufficient-scope",
    ]);
  });
});

const keyEndings: [string, (user: ApiUser, created: { id: string; key: string }) => Promise<unknown>, string][] = [
  ["its deletion", ({ basic }, { id }) => service.send("DELETE", `/api/api-keys/${id}`, { basic }), "invalid-token"],
  [
    "a deletion by an administrator",
    (owner, { id }) => asAdmin("DELETE", `/api/users/${owner.id}/api-keys/${id}`),
    "invalid-token",
  ],
  [
    "a report that it was found",
    (_, created) => service.send("POST", "/api/api-keys/revocations", { json: { key: created.key } }),
    "invalid-token",
  ],
  [
    "a rotation without an overlap",
    ({ basic }, { id }) =>
      service.send("POST", `/api/api-keys/${id}/rotations`, { basic, json: { overlap_seconds: 0 } }),
    "invalid-token",
  ],
  ["a block of its user", ({ id }) => asAdmin("PATCH", `/api/users/${id}`, { blocked: true }), "invalid-token"],
  ["the deletion of its user", ({ id }) => asAdmin("DELETE", `/api/users/${id}`), "invalid-token"],
  [
    "the loss of a scope",
    ({ basic }, { id }) => service.send("PATCH", `/api/api-keys/${id}`, { basic, json: { scopes: ["orders:write"] } }),
    "insufficient-scope",
  ],
  [
    "the loss of its user's role",
    ({ id }) => asAdmin("PATCH", `/api/users/${id}`, { roles: [] }),
    "insufficient-scope",
  ],
];

describe("within a second, in a service beside either instance, an API key is refused after", () => {
  test.each(keyEndings)("%s", async (_name, end, slug) => {
    const owner = await user();
    const created = await key(owner);
    await accepts(created.key, ["orders:read"]);
    await end(owner, created);
    expect(await refusalsOf(created.key, ["orders:read"])).toEqual([slug, slug]);
  });
});

test("a key is valid for the APIs that it has a scope of, also where no scope is required, until that changes", async () => {
  const clerk = await user();
  const described = [{ name: "stock:read", description: "" }];
  await asAdmin("POST", "/api/apis", { audience: "stock", name: "Stock", scopes: described });
  await asAdmin("PUT", "/api/roles/keeper", { scopes: ["stock:read"] });
  await asAdmin("PATCH", `/api/users/${clerk.id}`, { roles: ["clerk", "keeper"] });
  const both = await key(clerk, ["orders:read", "stock:read", "account:read"]);
  const elsewhereOnly = await key(clerk, ["stock:read"]);
  const [stock, own] = [start({ audience: "stock" }), start({ audience: issuer })];
  expect(await verifier.ask(both.key)).toMatchObject({ scopes: new Set(["orders:read"]) });
  expect(await stock.ask(both.key)).toMatchObject({ scopes: new Set(["stock:read"]) });
  expect(await own.ask(both.key)).toMatchObject({ scopes: new Set(["account:read"]) });
  expect(await own.ask((await key(clerk, [])).key)).toMatchObject({ scopes: new Set() });
  expect(await verifier.ask(elsewhereOnly.key)).toBe("invalid-token");
  expect(await verifier.ask((await key(clerk, [])).key)).toBe("invalid-token");
  expect(await start({ audience: "unregistered" }).ask(both.key)).toBe("invalid-token");
  await asAdmin("PATCH", "/api/apis/stock", { scopes: [{ name: "stock:write", description: "" }] });
  await expect.poll(() => stock.ask(both.key), { timeout: 1_000 }).toBe("invalid-token");
  expect(await verifier.ask(both.key)).toMatchObject({ kind: "user" });
});

test("a key has the scopes that its user has, and its answers come from memory until something changes", async () => {
  const reader = await user();
  const created = await key(reader, ["orders:read"]);
  expect(await verifier.ask(created.key)).toMatchObject({
    userId: reader.id,
    scopes: new Set(["orders:read"]),
    roles: ["clerk"],
    apiKeyId: created.id,
  });
  const before = verifier.counters().introspections;
  for (let use = 0; use < 10; use += 1) await verifier.ask(created.key);
  expect(verifier.counters().introspections).toBe(before);
});

test("signing keys rotate without a refused token, and a revoked one takes its tokens with it", {
  timeout: 60_000,
}, async () => {
  const alone = await startTestService({}, await createDatabase());
  const api = await verifiedApi(alone);
  const clerk = await api.user();
  const old = await api.token(clerk);
  const latchkey = (...args: string[]) =>
    runProgram(args, { DATABASE_URL: alone.databaseUrl, SECRET_KEY: secretKey }).exit;
  expect(await api.verifier.ask(old)).toMatchObject({ kind: "user" });
  const kid = String(decodeProtectedHeader(old).kid);
  expect(await latchkey("signing-keys", "revoke", kid)).toBe(0);
  const began = performance.now();
  while (typeof (await api.verifier.ask(old)) !== "string") await sleep(2);
  expect(performance.now() - began).toBeLessThan(1_000);
  expect(await api.verifier.ask(old)).toBe("token-revoked");
  // The next key signs at once, and the one after it is unknown to the verifier.
  for (let rotation = 0; rotation < 2; rotation += 1) {
    const young = await api.token(clerk);
    expect(await api.verifier.ask(young)).toMatchObject({ kind: "user" });
    expect(await latchkey("signing-keys", "revoke", String(decodeProtectedHeader(young).kid))).toBe(0);
  }
});

test("every refusal has the status and the title of Latchkey's problem", () => {
  const refusal = refusals(issuer);
  for (const slug of [
    "invalid-request",
    "authentication-required",
    "invalid-token",
    "token-expired",
    "token-revoked",
    "insufficient-scope",
    "not-found",
    "method-not-allowed",
    "revocations-stale",
    "verification-unavailable",
  ] as const) {
    const { status, title } = problems[slug];
    expect(refusal(slug)).toMatchObject({ status, problem: { type: `${issuer}/problems/${slug}`, status, title } });
  }
});

test("refusals have the challenge, the headers and the details that Latchkey responds with", async () => {
  const { username } = await service.register();
  const valid = await service.token(username);
  const own = start({ audience: issuer });
  await own.ready();
  const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
  const headers = [
    undefined,
    "",
    "Negotiate abc",
    "Bearer",
    "Bearer garbage",
    `Bearer ${valid.slice(0, -4)}AAAA`,
    "Basic !",
    basic("no colon"),
    `Bearer ${valid}`,
  ];
  const compare = async (authorization: string | undefined) => {
    const answer = await service.send(
      "GET",
      "/api/audit-events",
      authorization === undefined ? {} : { headers: { authorization } },
    );
    const refusal = await outcome(own, authorization, ["audit:read"]);
    if (!("problem" in refusal)) throw new Error(`accepted ${authorization}`);
    const { instance, ...problem } = answer.json;
    expect(refusal.problem, authorization).toEqual({ ...problem, type: `${issuer}${problem.type}` });
    expect(refusal.status).toBe(answer.status);
    const challenges = answer.headers["www-authenticate"];
    const bearer = [challenges ?? []]
      .flat()
      .flatMap((line) => line.split(/, (?=Bearer)/))
      .find((line) => line.startsWith("Bearer"));
    expect(refusal.headers).toEqual({
      "Content-Type": answer.header("content-type"),
      "Cache-Control": answer.header("cache-control"),
      ...(bearer && { "WWW-Authenticate": bearer }),
    });
  };
  for (const header of headers) await compare(header);
  await service.send("DELETE", "/api/token", { bearer: valid });
  expect(await verifierSees(own, valid)).toBe("token-revoked");
  await compare(`Bearer ${valid}`);
});
async function verifierSees(asked: typeof verifier, sent: string) {
  for (let tries = 0; tries < 500; tries += 1) {
    const found = await asked.ask(sent);
    if (typeof found === "string") return found;
    await sleep(2);
  }
  return "accepted";
}

test("a credential without the scopes is rejected at the start, with the scopes that it needs", async () => {
  const { key: weak } = await key(await user());
  await expect(start({ credential: weak }).ready()).rejects.toThrow("revocations:read");
  await expect(start({ credential: `${credential.slice(0, -6)}000000` }).ready()).rejects.toThrow("not an API key");
});

test("a key of the verifier that is deleted makes it refuse everything, and not accept what it cannot know", async () => {
  const weak = await user(["verifier"]);
  const created = await key(weak, ["revocations:read", "tokens:introspect"]);
  const own = start({ credential: created.key, maxStalenessSeconds: 1 });
  await own.ready();
  const sent = await token(await user());
  expect(await own.ask(sent)).toMatchObject({ kind: "user" });
  await service.send("DELETE", `/api/api-keys/${created.id}`, { basic: [weak.username, password] });
  await sleep(1_000);
  for (let tries = 0; (await own.ask(sent)) !== "revocations-stale"; tries += 1) {
    expect(tries).toBeLessThan(300);
    await sleep(10);
  }
  expect(own.errors.join()).toContain("not an API key that is valid");
});
