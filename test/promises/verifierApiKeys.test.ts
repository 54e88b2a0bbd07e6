/** The verifier looks an API key up once, and remembers the answer until the revocation list makes it outdated. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { isApiKey } from "../../packages/verify/src/apiKeys.ts";
import { formatKey, parseKey } from "../../src/apiKeys/format.ts";
import { audience, type FakeAnswer, raw, signingKey, silence, startFakeLatchkey } from "../support/fakeLatchkey.ts";
import { outcome, startVerifier } from "../support/verifiers.ts";

const path = "/oauth/introspect";
const signing = await signingKey();
const newKey = () => formatKey(randomBytes(32));
const active = (changes: object = {}) => ({
  active: true,
  token_type: "api_key",
  client_id: "latchkey",
  username: "miguel",
  sub: "a-user",
  iss: "https://latchkey.example",
  aud: audience,
  scope: "orders:read",
  roles: ["clerk"],
  api_key_id: "a-key",
  epoch: 0,
  revocation_subjects: ["a-key", "a-user", "rights:a-user", "role:clerk", "role:default", "everybody"],
  ...changes,
});

async function verifierWithKeys(answer: FakeAnswer = () => active()) {
  const latchkey = await startFakeLatchkey([signing]);
  latchkey.answers[path] = answer;
  const verifier = startVerifier({ issuer: latchkey.url, credential: "lk_credential" });
  await verifier.ready();
  const lookups = () => latchkey.requests.filter((request) => request.path === path);
  const answers = (replacement: FakeAnswer) => {
    latchkey.answers[path] = replacement;
  };
  return { latchkey, verifier, lookups, answers };
}

test("a key is looked up once, however many requests come with it, and its answer is the principal", async () => {
  const { verifier, lookups } = await verifierWithKeys();
  const key = newKey();
  const [first, ...others] = await Promise.all(Array.from({ length: 20 }, () => verifier.ask(key)));
  expect(first).toEqual({
    kind: "user",
    userId: "a-user",
    username: "miguel",
    clientId: "latchkey",
    scopes: new Set(["orders:read"]),
    roles: ["clerk"],
    apiKeyId: "a-key",
  });
  for (const other of others) expect(other).toBe(first);
  expect(verifier.verify(`Bearer ${key}`)).toBe(first);
  const basic = `Basic ${Buffer.from(`${key}:any`).toString("base64")}`;
  expect(await outcome(verifier, basic)).toBe(first);
  expect(await verifier.ask(key, ["orders:read"])).toBe(first);
  expect(await verifier.ask(key, ["orders:write"])).toBe("insufficient-scope");
  expect(lookups()).toHaveLength(1);
  expect(lookups()[0]).toMatchObject({
    authorization: "Bearer lk_credential",
    form: { token: key, token_type_hint: "api_key", revocations_after: "0" },
  });
});

test.each(["a-key", "a-user", "rights:a-user", "role:clerk", "role:default", "everybody"])(
  "an entry of %s makes the verifier ask again, with the cursor after it, also if it came before",
  async (subject) => {
    const { latchkey, verifier, lookups, answers } = await verifierWithKeys();
    const key = newKey();
    for (let time = 1; time <= 2; time += 1) {
      answers(() => active());
      expect(await verifier.ask(key, ["orders:read"])).toMatchObject({ apiKeyId: "a-key" });
      answers(() => active({ scope: "orders:write" }));
      latchkey.revoke("somebody-else");
      latchkey.revoke(subject);
      await vi.waitFor(async () => expect(await verifier.ask(key, ["orders:read"])).toBe("insufficient-scope"), 15_000);
      expect(lookups().at(-1)?.form["revocations_after"]).toBe(String(latchkey.entries.length));
      latchkey.revoke(subject);
      await vi.waitFor(() => expect(verifier.counters().remembered).toBe(0), 15_000);
    }
    expect(lookups()).toHaveLength(4);
  },
);

test("an answer is not used if an entry of its subjects arrives before it, and no later request waits for it", async () => {
  const { latchkey, verifier, lookups, answers } = await verifierWithKeys();
  const key = newKey();
  let release = (_answer: object) => {};
  answers(() => new Promise((resolve) => (release = resolve)));
  const early = verifier.ask(key);
  await latchkey.untilRequested(path, 1);
  latchkey.revoke("a-key");
  await latchkey.untilRead();
  answers(() => ({ active: false }));
  expect(await verifier.ask(key)).toBe("invalid-token");
  release(active());
  expect(await early).toBe("invalid-token");
  await sleep(1_100); // refusals are remembered for a second
  expect(await verifier.ask(key)).toBe("invalid-token");
  expect(lookups()).toHaveLength(4);
});

test("a key whose rights change during each request is refused with a 503", async () => {
  const { latchkey, verifier, lookups, answers } = await verifierWithKeys();
  answers(async () => {
    latchkey.revoke("a-key");
    await latchkey.untilRead();
    return active();
  });
  expect(await verifier.ask(newKey())).toBe("verification-unavailable");
  expect(lookups()).toHaveLength(3);
});

test("what has not the form of a key causes no request", async () => {
  const { verifier, lookups } = await verifierWithKeys();
  const good = newKey();
  const wrong = [`${good.slice(0, -1)}${good.endsWith("0") ? "1" : "0"}`, `lk_${"z".repeat(49)}`, `${good}0`, "lk_"];
  for (const key of wrong) expect(await verifier.ask(key)).toBe("invalid-token");
  expect(lookups()).toHaveLength(0);
});

test("the form is the one of Latchkey", () => {
  const samples = Array.from({ length: 500 }, newKey);
  const altered = samples.map((key, index) => key.replace(key.charAt(3 + (index % 49)), "0"));
  const extremes = [formatKey(Buffer.alloc(32)), formatKey(Buffer.alloc(32, 0xff)), `lk_${"z".repeat(43)}000000`];
  for (const text of [...samples, ...altered, ...extremes]) expect(isApiKey(text)).toBe(parseKey(text) !== undefined);
});

test("a key that Latchkey does not accept is asked for once a second, and not longer", async () => {
  const { verifier, lookups, answers } = await verifierWithKeys(() => ({ active: false }));
  const key = newKey();
  for (let use = 0; use < 20; use += 1) expect(await verifier.ask(key)).toBe("invalid-token");
  expect(lookups()).toHaveLength(1);
  answers(() => active());
  await sleep(1_050);
  expect(await verifier.ask(key)).toMatchObject({ kind: "user" });
});

test("a flood of keys that nobody has is bounded, and others are still served", async () => {
  const { latchkey, verifier, lookups, answers } = await verifierWithKeys();
  const known = newKey();
  expect(await verifier.ask(known)).toMatchObject({ kind: "user" });
  answers(silence);
  const flood = Array.from({ length: 300 }, () => verifier.ask(newKey()));
  await latchkey.untilRequested(path, 50);
  expect(await verifier.ask(known)).toMatchObject({ kind: "user" });
  expect(new Set(await Promise.all(flood))).toEqual(new Set(["verification-unavailable"]));
  expect(lookups().length).toBeLessThanOrEqual(101);
});

const unusable: [string, FakeAnswer, string][] = [
  ["a 500", raw(500), "verification-unavailable"],
  ["a 401", raw(401), "verification-unavailable"],
  ["a redirect", raw(307, "", { location: "/" }), "verification-unavailable"],
  ["no JSON", raw(200, "active"), "verification-unavailable"],
  ["a truncated answer", raw(200, JSON.stringify(active()).slice(0, -1)), "verification-unavailable"],
  ["a lost connection", ({ incoming }) => void incoming.socket.destroy(), "verification-unavailable"],
  ["an endless answer", raw(200, " ".repeat(1_000_000)), "verification-unavailable"],
  ["null", raw(200, "null"), "verification-unavailable"],
  ["active as a text", () => active({ active: "true" }), "verification-unavailable"],
  ["no subjects", () => active({ revocation_subjects: undefined }), "verification-unavailable"],
  ["an empty list of subjects", () => active({ revocation_subjects: [] }), "verification-unavailable"],
  ["a malformed scope", () => active({ scope: "a  b" }), "verification-unavailable"],
  ["no user", () => active({ sub: undefined }), "verification-unavailable"],
  ["an expiry that is no number", () => active({ exp: "never" }), "verification-unavailable"],
  ["a refresh token", () => active({ token_type: "refresh_token" }), "invalid-token"],
  ["no audience", () => active({ aud: undefined }), "invalid-token"],
  ["another audience", () => active({ aud: "https://elsewhere.example" }), "invalid-token"],
  ["other audiences", () => active({ aud: ["https://elsewhere.example"] }), "invalid-token"],
  ["an expiry in the past", () => active({ exp: 1 }), "token-expired"],
];

test.each(unusable)(
  "an introspection response with %s is not accepted, and not remembered",
  async (_name, answer, slug) => {
    const { verifier, answers } = await verifierWithKeys(answer);
    const key = newKey();
    expect(await verifier.ask(key)).toBe(slug);
    expect(verifier.counters().remembered).toBe(0);
    if (slug !== "verification-unavailable") return;
    answers(() => active());
    expect(await verifier.ask(key)).toMatchObject({ kind: "user" });
  },
);

test("a key that expires is refused from then on", async () => {
  const exp = Math.floor(Date.now() / 1000) + 60;
  const { verifier } = await verifierWithKeys(() => active({ exp }));
  const key = newKey();
  expect(await verifier.ask(key)).toMatchObject({ expiresAt: new Date(exp * 1000) });
  const clock = vi.spyOn(Date, "now").mockReturnValue(exp * 1000);
  expect(await verifier.ask(key)).toBe("token-expired");
  clock.mockRestore();
});

test("after a gap in the list, every key is looked up again", async () => {
  const { latchkey, verifier, lookups } = await verifierWithKeys();
  const key = newKey();
  await verifier.ask(key);
  const behave = latchkey.answers["/api/revocations"];
  latchkey.answers["/api/revocations"] = (request, response) =>
    request.query["after"] === undefined ? behave(request, response) : raw(410)(request, response);
  latchkey.revoke("wake");
  await vi.waitFor(() => expect(verifier.counters().remembered).toBe(0), 3_000);
  expect(await verifier.ask(key)).toMatchObject({ kind: "user" });
  expect(lookups()).toHaveLength(2);
});
