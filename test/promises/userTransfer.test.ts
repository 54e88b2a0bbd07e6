/** Users are imported from a file, row by row, and an import of an export makes the same users. */
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { storedUsername, userId } from "../../src/identifiers.ts";
import { userStore } from "../../src/users/store.ts";
import { readCsv } from "../../src/users/transfer/csv.ts";
import { type Entry, type Format, maxEntryBytes } from "../../src/users/transfer/entry.ts";
import { exportUsers } from "../../src/users/transfer/exportUsers.ts";
import { importUsers } from "../../src/users/transfer/importUsers.ts";
import { readNdjson } from "../../src/users/transfer/ndjson.ts";
import { rehearseImport } from "../../src/users/transfer/rehearsal.ts";
import { transferStore } from "../../src/users/transfer/store.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, query } from "../support/service.ts";

const hash = "{SSHA}d51WRkKGu97OkXFu2ZXSCmerJjD8aEIN";
const bcrypt = "$2b$04$XsTLJ0rNDoKCfytO9IzK8etpcEtcSGA7DU7v/QFH9WmBZ5eqgt7hy";
const cost = { memoryKiB: 19_456, passes: 2 };
const roles = ["administrator", "default", "editor"];
const known = { roles: new Set(roles), defaultRole: "default", cost };

async function newDatabase() {
  const url = await createDatabase();
  const database = openDatabase(url, 2);
  afterTest(() => database.close());
  const sql = (text: string, values: unknown[] = []) => query(url, text, values);
  await sql("INSERT INTO roles (name) VALUES ('editor')");
  const store = transferStore(database);
  /** Reads a text in chunks of any size. After `maxEntries`, the file cannot be read any more. */
  const open = (text: string | Buffer, format: Format, maxEntries: number) => {
    const refused: [line: number, refusal: string][] = [];
    const parts = {
      store,
      known,
      onRefused: ({ line }: { line: number }, refusal: string) => void refused.push([line, refusal]),
      onProgress: () => {},
    };
    const entries = (format === "csv" ? readCsv : readNdjson)(inChunks(Buffer.from(text)));
    return { entries: unplugAfter(maxEntries, entries), parts, refused };
  };
  const byLine = (refused: [line: number, refusal: string][]) => refused.toSorted(([one], [other]) => one - other);
  /** Imports a text after a dry run, which must report the same for each line. */
  const load = async (text: string | Buffer, format: Format = "ndjson", maxEntries = Infinity) => {
    const rehearsal = open(text, format, maxEntries);
    const rehearsed = rehearseImport(rehearsal.entries, rehearsal.parts, new Set());
    const expected = await (maxEntries < Infinity ? rehearsed.catch(() => undefined) : rehearsed);
    const { entries, parts, refused } = open(text, format, maxEntries);
    const counts = await importUsers(entries, parts);
    expect({ counts, refused: byLine(refused) }).toEqual({
      counts: expected?.counts,
      refused: byLine(rehearsal.refused),
    });
    return { counts, refused };
  };
  const dump = async (format: Format = "ndjson") => {
    let text = "";
    for await (const part of exportUsers(store, format)) text += part;
    return text;
  };
  return { database, sql, store, load, dump };
}

async function* unplugAfter(maxEntries: number, entries: AsyncIterable<Entry>): AsyncGenerator<Entry> {
  let count = 0;
  for await (const entry of entries) {
    if (count++ >= maxEntries) throw new Error("unplugged");
    yield entry;
  }
}

async function* inChunks(bytes: Buffer, size = 777): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

const toLines = (...rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const shared = await newDatabase();

describe.each([
  ["ndjson", '{"username":"Susan","password_hash":"HASH"}\n', (text: string) => text],
  ["csv", "username,password_hash\nSusan,HASH\n", (text: string) => text.replaceAll("\n", "\r\n")],
] as const)("a file of %s", (format, text, withOtherLineBreaks) => {
  test("is imported, with the username as at a registration", async () => {
    const { load, dump } = await newDatabase();
    const { counts, refused } = await load(withOtherLineBreaks(text.replace("HASH", bcrypt)), format);
    expect({ counts, refused }).toEqual({ counts: { imported: 1, existing: 0, refused: 0 }, refused: [] });
    const [row] = (await dump()).trim().split("\n");
    expect(JSON.parse(row ?? "")).toMatchObject({
      username: "susan",
      password_hash: bcrypt,
      blocked: false,
      roles: [],
    });
  });

  test("may begin with a byte order mark, and end without a line break", async () => {
    const { load } = await newDatabase();
    expect((await load(`\u{FEFF}${text.replace("HASH", hash).trimEnd()}`, format)).counts.imported).toBe(1);
  });
});

const good = { username: "good", password_hash: hash };
const id = "0190a1b2-0000-7000-8000-000000000001";
describe("a row is refused, and the others are imported:", () => {
  const bad: [string, unknown, RegExp][] = [
    ["no object", ["x"], /^is not an object$/],
    ["no username", { password_hash: hash }, /^has no username$/],
    ["a username with a space", { ...good, username: "two words" }, /username that has U\+0020/],
    ["a username with a colon", { ...good, username: "a:b" }, /^has a username that has a colon$/],
    [
      "a username that looks like a token",
      { ...good, username: "eyJhbGciOiJFZERTQSJ9.e30.AAAA" },
      /looks like a token$/,
    ],
    ["a username that is too long", { ...good, username: "x".repeat(257) }, /has more than 64 characters$/],
    ["a username that looks like an API key", { ...good, username: `LK_${"0".repeat(49)}` }, /looks like an API key$/],
    ["a username that is a number", { ...good, username: 5 }, /^has no username$/],
    ["no hash", { username: "x" }, /^has no password_hash: use "!" for no password$/],
    ["an unknown form", { username: "x", password_hash: "hunter2hunter2" }, /^has a password_hash of an unknown form$/],
    ["a hash that was cut off", { username: "x", password_hash: bcrypt.slice(0, -1) }, /\(bcrypt\) that is incomplete/],
    [
      "a cost above the maximum",
      { username: "x", password_hash: bcrypt.replace("04", "16") },
      /costs too much: cost 16/,
    ],
    ["a misspelt member", { ...good, bloked: true }, /^has the unknown member "bloked"$/],
    ["an id that is no UUID", { ...good, id: 17 }, /^has an id that is not a UUID/],
    ["an id of zeros", { ...good, id: "00000000-0000-0000-0000-000000000000" }, /^has an id that is not a UUID/],
    ["a time without a zone", { ...good, created_at: "2020-01-01T00:00:00" }, /created_at that is not a time/],
    ["a day that does not exist", { ...good, created_at: "2020-02-30T00:00:00Z" }, /created_at that is not a time/],
    ["a month that does not exist", { ...good, created_at: "2020-13-01T00:00:00Z" }, /created_at that is not a time/],
    ["a time zone of no place", { ...good, created_at: "2020-01-01T00:00:00+23:59" }, /created_at that is not a time/],
    ["a time in the year zero", { ...good, created_at: "0000-01-01T00:00:00Z" }, /created_at that is not a time/],
    ["an object instead of a time", { ...good, created_at: { toString: 1 } }, /created_at that is not a time/],
    ["a time in the future", { ...good, created_at: "9020-01-01T00:00:00Z" }, /created_at in the future/],
    ["a text instead of a boolean", { ...good, blocked: "no" }, /^has a blocked that is neither true nor false$/],
    ["an unknown role", { ...good, roles: ["emperor"] }, /^has an unknown role: "emperor"$/],
    ["an object instead of a role", { ...good, roles: [{ toString: 1 }] }, /^has roles that are not a list/],
    ["roles that are no list", { ...good, roles: "editor" }, /^has roles that are not a list/],
    ["null", null, /^is not an object$/],
  ];

  test.each(bad)("%s", async (name, row, refusal) => {
    const username = `after-${name.toLowerCase().replaceAll(/[^a-z]/g, "-")}`;
    const { counts, refused } = await shared.load(`${JSON.stringify(row)}\n${toLines({ ...good, username })}`);
    expect(refused).toEqual([[1, expect.stringMatching(refusal)]]);
    expect(counts).toEqual({ imported: 1, existing: 0, refused: 1 });
    expect(JSON.stringify(refused)).not.toMatch(/hunter2|XsTLJ0/);
  });

  test("a line that is no JSON, no UTF-8 or too long", async () => {
    const { load } = await newDatabase();
    const parts = [
      Buffer.from('{"username": hunter2}\n\n'),
      Buffer.from([0x22, 0xff, 0x22, 0x0a]),
      Buffer.from(`"${"x".repeat(maxEntryBytes)}"\n`),
      Buffer.from(toLines(good)),
    ];
    const { counts, refused } = await load(Buffer.concat(parts));
    expect(refused).toEqual([
      [1, "is not JSON"],
      [3, "is not UTF-8"],
      [4, `has more than ${maxEntryBytes} bytes`],
    ]);
    expect(counts.imported).toBe(1);
  });

  test("a line of CSV with another number of fields, or that is no UTF-8", async () => {
    const { load } = await newDatabase();
    const parts = [
      Buffer.from(`username,password_hash,blocked,roles\none,${hash},true,editor administrator\n`),
      Buffer.from(`two,${hash}\n\n`),
      Buffer.from([0xff, 0x2c, 0x78, 0x2c, 0x2c, 0x0a]),
      Buffer.from(`four,${hash},no,\n`),
      Buffer.from(`five,"${hash}",,\n`),
    ];
    const { counts, refused } = await load(Buffer.concat(parts), "csv");
    expect(counts).toEqual({ imported: 2, existing: 0, refused: 3 });
    expect(refused).toEqual([
      [3, "has 2 fields, and the header has 4"],
      [5, "is not UTF-8"],
      [6, "has a blocked that is neither true nor false"],
    ]);
  });

  test.each([
    ["wrong quotes", `one,${hash}\ntwo,"${hash}"x\n`, /^Line 3: this is not CSV/],
    ["quotes that do not end", `one,"${hash}\n`, /^Line \d: this is not CSV/],
    ["a line that is too long", `one,${"x".repeat(maxEntryBytes)}\n`, /^Line 2: /],
  ])("%s are an error of the whole file, which repeats no hash", async (_, text, message) => {
    const error = await shared.load(`username,password_hash\n${text}`, "csv").catch((error: Error) => error);
    expect(error).toMatchObject({ message: expect.stringMatching(message), exitStatus: 65 });
    expect(String(error)).not.toContain("SSHA");
  });

  test.each([
    ["an unknown column", `username,password_hash,email\n`, /unknown column "email"/],
    ["no username", `password_hash\n`, /lacks the column username/],
    ["a column twice", `username,password_hash,username\n`, /column twice/],
  ])("a header with %s is an error of the whole file", async (_, text, message) => {
    await expect(shared.load(text, "csv")).rejects.toThrow(message);
  });
});

describe("an import that is repeated", () => {
  const rows = Array.from({ length: 1200 }, (_, index) => ({ username: `user${index}`, password_hash: hash }));

  test("changes nothing: the users exist", async () => {
    const { load, dump } = await newDatabase();
    expect((await load(toLines(...rows))).counts).toEqual({ imported: 1200, existing: 0, refused: 0 });
    const before = await dump();
    const { counts, refused } = await load(toLines(...rows));
    expect({ counts, refused }).toEqual({ counts: { imported: 0, existing: 1200, refused: 0 }, refused: [] });
    expect(await dump()).toBe(before);
  });

  test("continues after an interruption", async () => {
    const { load, sql } = await newDatabase();
    // The file cannot be read to its end. Two batches are complete.
    const broken = load(toLines(...rows), "ndjson", 1100);
    await expect(broken).rejects.toThrow("unplugged");
    expect(await sql("SELECT count(*)::integer FROM users")).toEqual([{ count: 1000 }]);
    expect((await load(toLines(...rows))).counts).toEqual({ imported: 200, existing: 1000, refused: 0 });
    expect(await sql("SELECT count(*)::integer FROM users")).toEqual([{ count: 1200 }]);
  });

  test("does not overwrite a user whose hash was replaced at the sign-in, or whose state changed", async () => {
    const { load, dump, database, sql } = await newDatabase();
    await load(toLines({ ...good, id, roles: ["editor"] }));
    await userStore(database).upgradeHash(userId(id), hash, "$argon2id$v=19$m=19456,t=2,p=1$ours");
    await sql("UPDATE users SET blocked_at = now()");
    const before = await dump();
    expect((await load(toLines({ ...good, id }))).counts.existing).toBe(1);
    expect(await dump()).toBe(before);
  });
});

describe("two users with one name or one id", () => {
  test("of the file: the second is refused, also in another batch or in other letters", async () => {
    const { load, sql } = await newDatabase();
    const others = Array.from({ length: 600 }, (_, index) => ({ username: `other${index}`, password_hash: hash }));
    const text = toLines({ ...good, roles: [] }, { ...good, username: "GOOD", roles: ["administrator"] }, ...others, {
      ...good,
      password_hash: bcrypt,
    });
    const { counts, refused } = await load(text);
    expect(counts).toEqual({ imported: 601, existing: 0, refused: 2 });
    expect(refused).toEqual([
      [2, expect.stringContaining("occurred before")],
      [603, expect.stringContaining("occurred before")],
    ]);
    expect(await sql("SELECT * FROM user_roles")).toEqual([]);
  });

  test("of the file and the database: the row is refused", async () => {
    const { load } = await newDatabase();
    await load(toLines({ ...good, id }));
    const other = "0190a1b2-0000-7000-8000-000000000002";
    const { refused } = await load(toLines({ ...good, id: other }, { ...good, username: "other", id }));
    expect(refused).toEqual([
      [1, "has a username that belongs to a user with another id"],
      [2, "has an id that belongs to a user with another username"],
    ]);
  });

  test("a deleted user is not brought back while the deletion revokes the tokens of the id", async () => {
    const { load, database, sql } = await newDatabase();
    await load(toLines({ ...good, id }));
    await sql("INSERT INTO token_lifetimes (seconds, issued_until) VALUES (600, now())");
    await userStore(database).delete(userId(id), 0);
    expect((await load(toLines({ ...good, id }))).refused).toEqual([[1, expect.stringContaining("was deleted")]]);
    await sql("UPDATE revocations SET expires_at = now() - interval '1 second'");
    expect((await load(toLines({ ...good, id }))).counts.imported).toBe(1);
  });
});

describe("an import of an export", () => {
  const admin = { ...good, username: "root", roles: ["administrator", "default", "editor"] };
  const rows = [
    { ...good, id: id.toUpperCase(), created_at: "2019-03-04T05:06:07.123456+02:00" },
    admin,
    { username: "blocked", password_hash: bcrypt, blocked: true },
    { username: "nobody", password_hash: "!" },
    { username: "from-django", password_hash: "!Qm9UbGVkVXBGb3JldmVyQW5kRXZlckFtZW4xMjM0" },
    { username: "=cmd", password_hash: hash },
    { username: "zoë,\"'", password_hash: 'pbkdf2_sha256$1000$sa,"lt$uVXK4jm2B4hyRhEwtVSWZvSd9TlmxvW8SPzHcaR8a6s=' },
    { username: "ours", password_hash: `$argon2id$v=19$m=19456,t=2,p=1$${"A".repeat(22)}$${"A".repeat(43)}` },
  ];

  test.each(["ndjson", "csv"] as const)(
    "of %s is the identity: ids, times, blocks, roles and hashes",
    async (format) => {
      const [one, other] = [await newDatabase(), await newDatabase()];
      const { refused } = await one.load(toLines(...rows));
      expect(refused).toEqual([]);
      const exported = await one.dump(format);
      expect(exported).toContain("2019-03-04T03:06:07.123456Z");
      expect((await other.load(exported, format)).refused).toEqual([]);
      expect(await other.dump(format)).toBe(exported);
      expect(await other.dump("ndjson")).toBe(await one.dump("ndjson"));
      const exact = "SELECT id, username, password_hash, created_at::text, blocked_at IS NULL FROM users ORDER BY id";
      expect(await other.sql(exact)).toEqual(await one.sql(exact));
      const ofRoot = "SELECT role FROM user_roles ORDER BY role";
      expect(await other.sql(ofRoot)).toEqual([{ role: "administrator" }, { role: "editor" }]);
    },
  );

  test("of more than a page has every user once, in the order of the ids", async () => {
    const { load, dump } = await newDatabase();
    const rows = Array.from({ length: 2500 }, (_, index) => ({ username: `user${index}`, password_hash: hash }));
    await load(toLines(...rows));
    const exported = (await dump()).trim().split("\n");
    const ids = exported.map((line) => String(JSON.parse(line).id));
    expect(ids.length).toBe(2500);
    expect(ids).toEqual([...new Set(ids)].toSorted());
  });
});

test("a rehearsal writes nothing, and says form by form what would be imported", async () => {
  const { load, store, sql } = await newDatabase();
  await load(toLines(good));
  const rows = [
    good,
    { username: "a", password_hash: bcrypt },
    { username: "b", password_hash: bcrypt.replace("04", "10") },
    { username: "c", password_hash: bcrypt.replace("04", "08") },
    { username: "d", password_hash: "!" },
    { username: "e", password_hash: "unknown" },
  ];
  const refused: [number, string][] = [];
  const parts = {
    store,
    known,
    onRefused: ({ line }: { line: number }, refusal: string) => void refused.push([line, refusal]),
    onProgress: () => {},
  };
  const entries = readNdjson(Readable.from([Buffer.from(toLines(...rows))]));
  const { counts, forms, hashes } = await rehearseImport(entries, parts, new Set([storedUsername("b")]));
  expect(counts).toEqual({ imported: 4, existing: 1, refused: 1 });
  expect(refused).toEqual([[6, "has a password_hash of an unknown form"]]);
  expect(forms.map(({ form, users, costliest }) => [form, users, costliest?.parameters])).toEqual([
    ["bcrypt", 3, "cost 10"],
    ["SSHA (LDAP)", 1, ""],
    ["no password", 1, undefined],
  ]);
  expect([...hashes]).toEqual([["b", bcrypt.replace("04", "10")]]);
  expect(await sql("SELECT count(*)::integer FROM users")).toEqual([{ count: 1 }]);
});
