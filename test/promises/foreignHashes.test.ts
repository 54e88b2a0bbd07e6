/** Hashes of other programs are recognized by their form, verified as those programs do, and bounded in cost. */
import { readFile } from "node:fs/promises";
import fc from "fast-check";
import pLimit from "p-limit";
import { describe, expect, test } from "vitest";
import { readForeignHash } from "../../src/passwords/foreign/foreign.ts";

type Vector = { source: string; password: string; hash: string; note?: string; isDefault?: boolean };
/** Made by the programs themselves: see make.py beside it. */
const vectors: Vector[] = JSON.parse(
  await readFile(new URL("../fixtures/foreignHashes/vectors.json", import.meta.url), "utf8"),
);
const sources = [...new Set(vectors.map(({ source }) => source))];
const twoAtATime = pLimit(2);

function read(hash: string) {
  const read = readForeignHash(hash);
  if (!read || !("matches" in read)) throw new Error(`not recognized: ${read?.refusal ?? "no form"}`);
  return read;
}

describe.each(sources)("a hash of %s", (source) => {
  const ofSource = vectors.filter((vector) => vector.source === source);

  test("matches its password", async () => {
    const wrong = await Promise.all(
      ofSource.map(({ password, hash }) =>
        twoAtATime(async () => ((await read(hash).matches(password)) ? [] : [{ password, hash }])),
      ),
    );
    expect(wrong.flat()).toEqual([]);
  });

  test("matches no other password", async () => {
    const cheap = ofSource.filter(({ isDefault }) => !isDefault);
    const distinct = new Map(cheap.map((vector) => [`${read(vector.hash).form} ${vector.note}`, vector]));
    for (const { password, hash } of distinct.values()) {
      for (const other of ["", "wrong", password.toUpperCase(), `x${password}`, password.slice(0, -1)]) {
        if (other === password || (other === password.slice(0, -1) && Buffer.byteLength(other) >= 72)) continue;
        expect(await read(hash).matches(other), `${hash} with ${other}`).toBe(false);
      }
    }
  });

  test("that was cut off, or has something behind it, is refused", () => {
    for (const { hash } of ofSource) {
      const altered = [hash.slice(0, -1), hash.slice(0, hash.length / 2), `${hash}A`, `${hash}$x`, ` ${hash}`];
      for (const text of altered) expect(isComputed(text), text).toBe(isStillComplete(text));
    }
  });
});

const isComputed = (text: string) => {
  const read = readForeignHash(text);
  return read !== undefined && "matches" in read;
};

/** Argon2 does not fix the length of its digest. */
const isStillComplete = (text: string) => isComputed(text) && /^(?:\{ARGON2\}|argon2)?\$argon2/.test(text);

test("bcrypt counts 72 bytes of a password, as in the programs that write it", async () => {
  const { hash = "", password = "" } =
    vectors.find(({ source, password }) => source.startsWith("bcrypt") && password.length === 80) ?? {};
  expect(await read(hash).matches(`${password.slice(0, 72)}anything`)).toBe(true);
  expect(await read(hash).matches(`${password.slice(0, 71)}anything`)).toBe(false);
});

const salt = "c29tZXNhbHRzb21lc2FsdA";
const key = Buffer.alloc(32, 7).toString("base64");
const longKey = Buffer.alloc(64, 7).toString("base64");
const argon2 = (cost: string) => `$argon2id$v=19$${cost}$${salt}$${key.replace("=", "")}`;
const firebase = (cost: string) => `$fbscrypt$v=1,${cost},ss=Bw==,sk=${key}$${salt}==$${key}`;
const bcrypt = (cost: string) => `$2b$${cost}$abcdefghijklmnopqrstuu${"a".repeat(30)}e`;
const shaCrypt = (rounds: string) => `$6$rounds=${rounds}$saltsalt$${"a".repeat(85)}/`;

describe("a hash that costs too much", () => {
  test.each([
    ["bcrypt", bcrypt("15"), bcrypt("16")],
    ["bcrypt of Django", `bcrypt_sha256$${bcrypt("15")}`, `bcrypt_sha256$${bcrypt("31")}`],
    ["sha512_crypt", shaCrypt("2000000"), shaCrypt("2000001")],
    ["sha512_crypt", shaCrypt("1000"), shaCrypt("999999999")],
    ["PBKDF2 of Django", `pbkdf2_sha256$2500000$salt$${key}`, `pbkdf2_sha256$2500001$salt$${key}`],
    ["PBKDF2 of Werkzeug", `pbkdf2:sha256:1$salt$${"ab".repeat(32)}`, `pbkdf2:sha256:4294967295$s$${"ab".repeat(32)}`],
    ["scrypt, by memory", `scrypt$131072$salt$8$1$${longKey}`, `scrypt$262144$salt$8$1$${longKey}`],
    ["scrypt, by work", `scrypt$16384$salt$8$16$${longKey}`, `scrypt$16384$salt$8$17$${longKey}`],
    ["scrypt of Werkzeug", `scrypt:32768:8:1$salt$${"ab".repeat(64)}`, `scrypt:1048576:8:1$salt$${"ab".repeat(64)}`],
    ["scrypt of Firebase", firebase("n=17,r=8,p=1"), firebase("n=18,r=8,p=1")],
    ["scrypt of Firebase, by n", firebase("n=14,r=8,p=1"), firebase("n=99,r=8,p=1")],
    ["argon2, by memory", argon2("m=262144,t=4,p=4"), argon2("m=262145,t=1,p=4")],
    ["argon2, by passes", argon2("m=1024,t=1024,p=4"), argon2("m=1024,t=1025,p=4")],
    ["argon2, by lanes", argon2("m=65536,t=1,p=64"), argon2("m=65536,t=1,p=65")],
  ])("is refused: %s", (_, most, more) => {
    expect(readForeignHash(most)).toHaveProperty("matches");
    const refused = readForeignHash(more);
    expect(refused).toMatchObject({ refusal: expect.stringMatching(/^(costs too much: .*maximum is|is incomplete)/) });
    expect(refused).not.toHaveProperty("matches");
  });
});

test.each([
  ["the faulty version 2x of bcrypt", "$2x$04$abcdefghijklmnopqrstuuaaaaaaaaaaaaaaaaaaaaaaaaaaaaaae"],
  ["a bcrypt hash with unused bits, which its library never matches", `$2b$10$${"Z".repeat(53)}`],
  ["a cost of bcrypt that does not exist", bcrypt("03")],
  ["a cost with a sign", bcrypt("+4")],
  ["rounds with a leading zero", shaCrypt("05000")],
  ["rounds that the specification raises", shaCrypt("999")],
  ["no rounds where they are named", shaCrypt("")],
  ["iterations of zero", `pbkdf2_sha256$0$salt$${key}`],
  ["iterations that are missing", `pbkdf2:sha256$salt$${"ab".repeat(32)}`],
  ["a digest that nobody uses for passwords", `pbkdf2:md5:1000$salt$${"ab".repeat(16)}`],
  ["a key that multiplies the work", `pbkdf2_sha256$1000$salt$${Buffer.alloc(320).toString("base64")}`],
  ["an N that is no power of two", `scrypt$1000$salt$8$1$${longKey}`],
  ["an r of zero", `scrypt$1024$salt$0$1$${longKey}`],
  ["hexadecimal in capitals", `scrypt:1024:8:1$salt$${"AB".repeat(64)}`],
  ["base64 with stray characters", `pbkdf2_sha256$1000$salt$${key.slice(0, -2)} =`],
  ["base64 with unused bits", `pbkdf2_sha256$1000$salt$${key.slice(0, -2)}d=`],
  ["less memory than the lanes need", argon2("m=16,t=1,p=4")],
  ["no passes", argon2("m=1024,t=0,p=1")],
  ["a version of argon2 that does not exist", argon2("m=1024,t=1,p=2").replace("v=19", "v=18")],
  ["a signer key of another length", firebase("n=9,r=8,p=1").replace(`sk=${key}`, "sk=AAAA")],
  ["no salt", "{SSHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="],
])("%s is refused", (_, text) => {
  expect(readForeignHash(text)).toHaveProperty("refusal");
});

test.each([
  "",
  "!",
  "hunter2",
  "5f4dcc3b5aa765d61d8327deb882cf99",
  "$1$abc$def",
  "md5$salt$00",
  "{SHA}AAAA",
  "$",
  "$9$",
])("%j has no known form", (text) => expect(readForeignHash(text)).toBeUndefined());

describe("any text", () => {
  const anyVector = fc.constantFrom(...vectors.map(({ hash }) => hash));
  const damaged = fc
    .tuple(anyVector, fc.nat(), fc.string({ unit: "grapheme", maxLength: 12 }), fc.nat(20))
    .map(([hash, at, insert, removed]) => {
      const index = at % hash.length;
      return hash.slice(0, index) + insert + hash.slice(index + removed);
    });
  const numbers = fc.tuple(anyVector, fc.bigInt({ min: 0n, max: 10n ** 30n })).map(([hash, number]) =>
    // Any number in any place.
    hash.replace(/\d+/g, (digits) => (digits.length % 2 === Number(number % 2n) ? String(number) : digits)),
  );

  test("is read without an error, and what is refused is not repeated", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), damaged, numbers), (text) => {
        const read = readForeignHash(text);
        if (!read || "matches" in read) return;
        // A part of a salt or a digest would be this long.
        for (let at = 0; at + 12 <= text.length; at += 1)
          expect(read.refusal.includes(text.slice(at, at + 12))).toBe(false);
      }),
      { numRuns: 3000 },
    );
  });

  test("costs no more than the maximum of its form", () => {
    const most: Record<string, number> = {
      bcrypt: 15,
      sha: 2_000_000,
      PBKDF2: 2_500_000,
      scrypt: 2 ** 21,
      argon2: 1024,
    };
    fc.assert(
      fc.property(fc.oneof(damaged, numbers), (text) => {
        const read = readForeignHash(text);
        if (!read || !("matches" in read)) return;
        const name = Object.keys(most).find((name) => read.form.startsWith(name));
        expect(read.work).toBeLessThanOrEqual(most[name ?? ""] ?? 1);
      }),
      { numRuns: 3000 },
    );
  });
});

test("a check does not block the event loop", async () => {
  for (const { hash, password } of vectors.filter(
    ({ isDefault, source }) => isDefault && source.startsWith("passlib"),
  )) {
    let turns = 0;
    let isDone = false;
    const turn = (): void => {
      turns += 1;
      if (!isDone) setTimeout(turn, 1);
    };
    turn();
    expect(await read(hash).matches(password)).toBe(true);
    isDone = true;
    expect(turns).toBeGreaterThan(3);
  }
});
