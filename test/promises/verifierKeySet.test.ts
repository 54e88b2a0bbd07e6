/** The verifier's keys: rotation without a refused token, and key sets that are wrong, hostile or away. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type FakeAnswer, raw, signedToken, signingKey, silence, startFakeLatchkey } from "../support/fakeLatchkey.ts";
import { outcome, startVerifier } from "../support/verifiers.ts";

const path = "/.well-known/jwks.json";
const [first, second, rsa] = await Promise.all([signingKey("ES256"), signingKey("EdDSA"), signingKey("RS256")]);

/** A verifier that has the first key, and its Latchkey, whose key set a test replaces. */
async function verifierWithKey() {
  const latchkey = await startFakeLatchkey([first]);
  const verifier = startVerifier({ issuer: latchkey.url });
  await verifier.ready();
  const token = (key = first) => signedToken(key, latchkey.url);
  const count = () => latchkey.requests.filter((request) => request.path === path).length;
  const answer = (replacement: FakeAnswer) => {
    latchkey.answers[path] = replacement;
  };
  return { latchkey, verifier, token, count, answer };
}

test("a token of a new key is accepted at once, after one more request that all callers share", async () => {
  const { verifier, token, count, answer } = await verifierWithKey();
  answer(() => ({ keys: [first.jwk, second.jwk, rsa.jwk] }));
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => verifier.ask(token(index % 2 ? second : rsa))),
  );
  for (const found of answers) expect(found).toMatchObject({ kind: "user" });
  expect(count()).toBe(2);
});

test("tokens with unknown keys cause one request per second, however many they are", async () => {
  const { verifier, token, count, latchkey } = await verifierWithKey();
  const began = performance.now();
  const flood = async (until: number) => {
    while (performance.now() - began < until) expect(await verifier.ask(token(second))).toBe("invalid-token");
  };
  await Promise.all(Array.from({ length: 50 }, () => flood(2_000)));
  expect(count()).toBeLessThanOrEqual(1 + 1 + (performance.now() - began) / 1_000);
  // A flood delays nobody who has a known key.
  expect(await verifier.ask(signedToken(first, latchkey.url))).toMatchObject({ kind: "user" });
});

test("a key that the set has no longer is not used any more, also for tokens that are remembered", async () => {
  const { verifier, token, answer } = await verifierWithKey();
  const sent = token();
  expect(await verifier.ask(sent)).toMatchObject({ kind: "user" });
  answer(() => ({ keys: [second.jwk] }));
  expect(await verifier.ask(token(second))).toMatchObject({ kind: "user" });
  expect(await verifier.ask(sent)).toBe("invalid-token");
});

test("a response that is late does not bring back a key that was removed meanwhile", async () => {
  const { latchkey, verifier, token, answer } = await verifierWithKey();
  let respond = (_keys: object) => {};
  answer(() => new Promise((resolve) => (respond = resolve)));
  const waiting = verifier.ask(token(rsa));
  await latchkey.untilRequested(path, 2);
  answer(() => ({ keys: [second.jwk] }));
  expect(await verifier.ask(token(second))).toMatchObject({ kind: "user" });
  respond({ keys: [first.jwk] });
  expect(await waiting).toBe("invalid-token");
  expect(await verifier.ask(token(first))).toBe("invalid-token");
});

test("no response comes from a cache", async () => {
  const latchkey = await startFakeLatchkey([first]);
  const modes: unknown[] = [];
  const verifier = startVerifier({
    issuer: latchkey.url,
    credential: "lk_credential",
    fetch(input, init) {
      modes.push(init && "cache" in init && init.cache);
      return fetch(input, init);
    },
  });
  await verifier.ready();
  expect(modes.length).toBeGreaterThan(1);
  expect(new Set(modes)).toEqual(new Set(["no-store"]));
});

const bytes = (value: unknown) => JSON.stringify(value);
const unusable: [string, FakeAnswer][] = [
  ["no keys", () => ({ keys: [] })],
  ["keys that are no list", () => ({ keys: { 0: second.jwk } })],
  ["no object", raw(200, "[]")],
  ["null", raw(200, "null")],
  ["a deep array", raw(200, "[".repeat(200_000))],
  ["nothing", raw(200)],
  ["no JSON", raw(200, "<!doctype html>")],
  ["a truncated set", raw(200, bytes({ keys: [second.jwk] }).slice(0, -3))],
  ["bytes that are not UTF-8", raw(200, Buffer.from([0x22, 0xff, 0x22]))],
  ["more than 100 keys", () => ({ keys: Array.from({ length: 101 }, () => second.jwk) })],
  ["a body of 10 MB", raw(200, bytes({ keys: [second.jwk], padding: "x".repeat(10_000_000) }))],
  ["a body that never ends", (_request, response) => void endless(response)],
  ["a redirect to keys", raw(302, "", { location: "/other-keys" })],
  ["a permanent redirect", raw(308, "", { location: "http://127.0.0.1:1/" })],
  ["a 404", raw(404, bytes({ keys: [second.jwk] }))],
  ["a 500", raw(500, bytes({ keys: [second.jwk] }))],
  ["a 204", raw(204)],
  ["a lost connection", ({ incoming }) => void incoming.socket.destroy()],
  ["a symmetric key", () => ({ keys: [{ kty: "oct", k: "AAAA", kid: second.kid, alg: "EdDSA" }] })],
  ["a key for encryption", () => ({ keys: [{ ...second.jwk, use: "enc" }] })],
  ["a key that may not verify", () => ({ keys: [{ ...second.jwk, key_ops: ["sign"] }] })],
  ["a key with the alg of another type", () => ({ keys: [{ ...second.jwk, alg: "ES256" }] })],
  ["a key with a symmetric alg", () => ({ keys: [{ ...second.jwk, alg: "HS256" }] })],
  ["a key of another curve", () => ({ keys: [{ ...second.jwk, crv: "X25519" }] })],
  ["a key without a kid", () => ({ keys: [{ ...second.jwk, kid: undefined }] })],
  ["a key with a short x", () => ({ keys: [{ ...second.jwk, x: "AAAA" }] })],
  ["a point that is not on the curve", () => ({ keys: [{ ...first.jwk, kid: second.kid, y: first.jwk.x }] })],
  ["a weak RSA key", () => ({ keys: [{ kty: "RSA", n: "AQAB".repeat(32), e: "AQAB", kid: second.kid }] })],
  [
    "an RSA key of 16,384 bits",
    () => ({ keys: [{ kty: "RSA", n: "_".repeat(2731).slice(0, 2728), e: "AQAB", kid: rsa.kid }] }),
  ],
  ["an RSA key with a long exponent", () => ({ keys: [{ ...rsa.jwk, e: "_".repeat(300) }] })],
];
function endless(response: {
  write(chunk: string): boolean;
  writeHead(status: number): unknown;
  destroyed: boolean;
}): void {
  response.writeHead(200);
  const write = () => {
    if (response.destroyed) return;
    response.write(" ".repeat(65_536));
    setTimeout(write, 1);
  };
  write();
}

test("while the key set is unusable, the old keys stay in use, and nobody knows about new ones", async () => {
  // At the same time, because each waits for a second until the next request.
  const refuses = async ([name, answer]: [string, FakeAnswer]) => {
    const { verifier, token, latchkey, answer: replace } = await verifierWithKey();
    replace(answer);
    const refusal = await outcome(verifier, `Bearer ${token(second)}`);
    expect(refusal, name).toMatchObject({ status: 503, headers: { "Retry-After": "2" } });
    expect(await verifier.ask(token()), name).toMatchObject({ kind: "user" });
    expect(verifier.errors, name).toHaveLength(1);
    expect(latchkey.requests.map((request) => request.path)).not.toContain("/other-keys");
  };
  await Promise.all(unusable.map(refuses));
});

test("keys of other kinds beside usable ones are ignored, and the first of two with the same kid counts", async () => {
  const { verifier, token, answer } = await verifierWithKey();
  const others = [null, 7, "x", {}, { kty: "EC", crv: "P-384", kid: rsa.kid }, { ...rsa.jwk, kid: second.kid }];
  answer(() => ({ keys: [...others.slice(0, -1), second.jwk, first.jwk, others.at(-1)] }));
  expect(await verifier.ask(token(second))).toMatchObject({ kind: "user" });
});

test("a key set that does not answer is given up, and asked again", async () => {
  const { verifier, token, answer } = await verifierWithKey();
  answer(silence);
  const began = performance.now();
  const refused = verifier.ask(token(second));
  expect(await verifier.ask(token())).toMatchObject({ kind: "user" });
  expect(await refused).toBe("verification-unavailable");
  expect(performance.now() - began).toBeLessThan(8_000);
  answer(() => ({ keys: [first.jwk, second.jwk] }));
  expect(await verifier.ask(token(second))).toMatchObject({ kind: "user" });
});

test("ready waits for Latchkey to start, and a request before that is refused with a 503", async () => {
  const latchkey = await startFakeLatchkey([first]);
  const keySet = latchkey.answers[path];
  latchkey.answers[path] = raw(503);
  const verifier = startVerifier({ issuer: latchkey.url });
  const ready = verifier.ready();
  expect(await verifier.ask(signedToken(first, latchkey.url))).toBe("verification-unavailable");
  latchkey.answers[path] = keySet;
  await ready;
  expect(await verifier.ask(signedToken(first, latchkey.url))).toMatchObject({ kind: "user" });
});

test("a request that comes before the first answer waits for it", async () => {
  const latchkey = await startFakeLatchkey([first]);
  latchkey.answers[path] = () => sleep(300, { keys: [first.jwk] });
  const verifier = startVerifier({ issuer: latchkey.url });
  expect(await verifier.ask(signedToken(first, latchkey.url))).toMatchObject({ kind: "user" });
});

test("ready rejects for an address that is not Latchkey's, and at close", async () => {
  const latchkey = await startFakeLatchkey([first]);
  latchkey.answers[path] = raw(404);
  const lost = startVerifier({ issuer: latchkey.url });
  await expect(lost.ready()).rejects.toThrow("Is this the address of Latchkey?");
  latchkey.answers[path] = silence;
  const closed = startVerifier({ issuer: latchkey.url });
  const ready = closed.ready();
  await closed.close();
  await expect(ready).rejects.toThrow("closed");
});
