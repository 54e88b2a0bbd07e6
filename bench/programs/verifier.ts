/**
 * Measures the verifier package in this process, without sockets: a `fetch` of its own answers in place of Latchkey, with 100,000
 * revocations and 100 more each second. Argument: the rounds and the seconds of each. Prints the figures as JSON.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID, sign, verify } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { createVerifier } from "../../packages/verify/src/index.ts";
import type { VerifierRates } from "../verifier.ts";

const [rounds = 3, secondsEach = 1] = process.argv.slice(2).map(Number);
const users = 10_000;
const held = 100_000;
const issuer = "https://auth.example";
const audience = "https://orders.example/v1";
const scopes = ["orders:read", "orders:write", "orders:close", "invoices:read"];

const kinds = {
  EdDSA: { hash: null, pair: generateKeyPairSync("ed25519") },
  ES256: { hash: "sha256", pair: generateKeyPairSync("ec", { namedCurve: "P-256" }) },
  RS256: { hash: "sha256", pair: generateKeyPairSync("rsa", { modulusLength: 2048 }) },
} as const;
type Algorithm = keyof typeof kinds;
const algorithms = Object.keys(kinds) as Algorithm[];
const kids = Object.fromEntries(algorithms.map((alg) => [alg, randomBytes(32).toString("base64url")]));
const keys = algorithms.map((alg) => ({
  ...kinds[alg].pair.publicKey.export({ format: "jwk" }),
  kid: kids[alg],
  alg,
  use: "sig",
}));

const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
/** RFC 7518, section 3.4. */
const inputOf = (alg: Algorithm, key: KeyObject) =>
  alg === "ES256" ? ({ key, dsaEncoding: "ieee-p1363" } as const) : key;

function token(alg: Algorithm): string {
  const sub = randomUUID();
  const issuedAt = Math.floor(Date.now() / 1000);
  const claims = {
    client_id: "latchkey",
    username: "miguel",
    epoch: 0,
    sid: randomUUID(),
    iss: issuer,
    aud: audience,
    sub,
    iat: issuedAt,
    exp: issuedAt + 3_600,
    jti: randomUUID(),
    scope: scopes.join(" "),
    roles: ["clerk"],
    epochs: { [`rights:${sub}`]: 1, "role:clerk": 2, "role:default": 1, [`api:${audience}`]: 3 },
  };
  const input = `${encode({ alg, typ: "at+jwt", kid: kids[alg] })}.${encode(claims)}`;
  const signature = sign(kinds[alg].hash, Buffer.from(input), inputOf(alg, kinds[alg].pair.privateKey));
  return `${input}.${signature.toString("base64url")}`;
}

const expires_at = new Date(Date.now() + 86_400_000).toISOString();
const entry = () => ({ subject: randomUUID(), minimum_epoch: 2_147_483_647, expires_at });
const pageSize = 1_000;
let sent = 0;

async function answer(url: URL): Promise<object> {
  if (url.pathname === "/.well-known/jwks.json") return { keys };
  const isAll = sent >= held;
  if (isAll) await new Promise((resolve) => setTimeout(resolve, 10));
  const entries = Array.from({ length: isAll ? 1 : pageSize }, entry);
  sent += entries.length;
  return { entries, next: String(sent), has_more: sent < held, complete_at_offset_ms: 0 };
}

const start = async (maxRemembered?: number) => {
  const verifier = createVerifier({
    issuer,
    audience,
    credential: "lk_bench",
    maxStalenessSeconds: 300, // signing tokens blocks this process
    ...(maxRemembered !== undefined && { maxRemembered }),
    fetch: async (input) => Response.json(await answer(new URL(String(input)))),
  });
  await verifier.ready();
  return verifier;
};
const verifier = await start();
/** It has forgotten each token before it comes again. */
const forgetful = await start(100);

/** Milliseconds of CPU time: other programs must not count. */
const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Verifications per second of CPU time, in which the feed is read, too. */
async function remembered(headers: readonly string[]): Promise<number> {
  const required = { scopes: ["orders:read"] };
  let count = 0;
  const began = performance.now();
  const beganCpuMs = cpuMs();
  while (performance.now() - began < secondsEach * 1000) {
    for (let n = 0; n < 1_000; n += 1) {
      if (verifier.verify(headers[count++ % headers.length], required) instanceof Promise) throw new Error("forgotten");
    }
    await turn();
  }
  return (count * 1000) / (cpuMs() - beganCpuMs);
}

/** Prepares CPU times of node:crypto alone, divided by those of first verifications: medians of alternating passes. */
async function first(alg: Algorithm): Promise<(passes: number) => number> {
  const tokens = Array.from({ length: 500 }, () => `Bearer ${token(alg)}`);
  const signed = tokens.map((text) => {
    const end = text.lastIndexOf(".");
    return {
      input: Buffer.from(text.slice("Bearer ".length, end)),
      signature: Buffer.from(text.slice(end + 1), "base64url"),
    };
  });
  const key = inputOf(alg, kinds[alg].pair.publicKey);
  const bare = () => {
    for (const { input, signature } of signed) {
      if (!verify(kinds[alg].hash, input, key, signature)) throw new Error("not verified");
    }
  };
  const first = () => {
    for (const text of tokens) void forgetful.verify(text);
  };
  const timed = (work: () => void) => {
    const beganMs = cpuMs();
    work();
    return cpuMs() - beganMs;
  };
  return (passes) => {
    const times = Array.from({ length: passes }, () => [timed(bare), timed(first)] as const);
    return median(times.map(([one]) => one)) / median(times.map(([, other]) => other));
  };
}
const median = (samples: number[]) => samples.sort((one, other) => one - other)[Math.floor(samples.length / 2)] ?? 0;

const result: VerifierRates = { remembered: [], first: { EdDSA: [], ES256: [], RS256: [] }, heldRevocations: 0 };
const headers = Array.from({ length: users }, () => `Bearer ${token("ES256")}`);
// Copies, as each request of a server has a text of its own.
for (const header of headers) await verifier.verify(Buffer.from(header).toString("latin1"));
const ratios = await Promise.all(algorithms.map(async (alg) => [alg, await first(alg)] as const));
// The first round is a warm-up.
for (let round = -1; round < rounds; round += 1) {
  const rate = await remembered(headers);
  if (round >= 0) result.remembered.push(rate);
  for (const [alg, ratio] of ratios) {
    const found = ratio(round < 0 ? 20 : 10);
    if (round >= 0) result.first[alg].push(found);
    await turn();
  }
}
result.heldRevocations = verifier.counters().revocations;
await verifier.close();
await forgetful.close();
process.stdout.write(JSON.stringify(result));
