/** The guide's programs in other languages verify tokens of a real service, with the libraries of Debian, and reject others. */
import { execFile } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { decodeJwt } from "jose";
import { expect, test } from "vitest";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { freePort } from "../support/ports.ts";
import { startTestService } from "../support/service.ts";
import { encoded, ownKeys, signedWith, signWith } from "../support/signingKeys.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const run = promisify(execFile);
const guide = await readFile("docs/verify-in-other-languages.md", "utf8");

/** The program below a heading of the guide. */
function programOf(heading: string): string {
  const [, section = ""] = guide.split(`\n## ${heading}\n`);
  const [, program] = /^```\w+\n([\s\S]+?)^```$/m.exec(section) ?? [];
  if (program === undefined) throw new Error(`docs/verify-in-other-languages.md has no program below ${heading}.`);
  return program;
}

/** Debian's programs and libraries, whatever else is on the path. */
const environment = { PATH: "/usr/bin:/bin", HOME: "/nonexistent" };
const debianGo = {
  GO111MODULE: "off",
  GOPATH: "/usr/share/gocode",
  GOFLAGS: "-buildvcs=false",
  GOTELEMETRY: "off",
};

type Program = {
  heading: string;
  file: string;
  command: (file: string, folder: string) => [program: string, ...args: string[]];
  settings?: Record<string, string>;
};
const go = {
  file: "main.go",
  command: (file: string): [string, ...string[]] => ["/usr/bin/go", "run", file],
  settings: debianGo,
};
const ofES256: Program[] = [
  { heading: "Go with golang-jwt", ...go },
  { heading: "Java with the JDK alone", file: "Verify.java", command: (file) => ["/usr/bin/java", file] },
];
const ofAnyAlgorithm: Program[] = [
  { heading: "Python with Authlib", file: "verify.py", command: (file) => ["/usr/bin/python3", file] },
  { heading: "Go with go-jose", ...go },
  { heading: "Ruby with ruby-jwt", file: "verify.rb", command: (file) => ["/usr/bin/ruby", file] },
  { heading: "Perl with Crypt::JWT", file: "verify.pl", command: (file) => ["/usr/bin/perl", file] },
];

test.each([
  ...[...ofES256, ...ofAnyAlgorithm].map((program) => ["ES256", program.heading, program] as const),
  ...ofAnyAlgorithm.map((program) => ["RS256", program.heading, program] as const),
  ...ofAnyAlgorithm
    .filter(({ heading }) => !heading.startsWith("Ruby")) // ruby-jwt takes Ed25519 keys from no key set
    .map((program) => ["EdDSA", program.heading, program] as const),
])("%s: %s", async (algorithm, _heading, { heading, file, command, settings }) => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = await startTestService({ PORT: String(port), PUBLIC_URL: url, SIGNING_ALG: algorithm });
  const { id } = await service.register("miguel");
  const token = await service.token("miguel");
  const own = (await ownKeys(service)).at(-1);
  const other = (await ownKeys(await startTestService({ SIGNING_ALG: algorithm }))).at(-1);
  if (!own || !other) throw new Error("there is no key");
  const claims = decodeJwt(token);
  const [header = "", payload = "", signature = ""] = token.split(".");
  const publicKeys = JSON.stringify((await service.send("GET", "/.well-known/jwks.json")).json);
  const { iss: _iss, ...withoutIssuer } = claims;
  const { aud: _aud, ...withoutAudience } = claims;
  const { exp: _exp, ...withoutExpiry } = claims;

  const rejected: [name: string, token: string][] = [
    ["another issuer", signedWith(own, { ...claims, iss: "https://other.example.com" })],
    ["no issuer", signedWith(own, withoutIssuer)],
    ["another audience", signedWith(own, { ...claims, aud: "https://orders.example/v1" })],
    ["no audience", signedWith(own, withoutAudience)],
    ["expired", signedWith(own, { ...claims, exp: Math.floor(Date.now() / 1000) - 5 })],
    ["no expiry", signedWith(own, withoutExpiry)],
    ["another type", signedWith(own, claims, { header: { typ: "JWT" } })],
    ["no type", signedWith(own, claims, { header: { typ: undefined } })],
    ["an altered payload", `${header}.${encoded({ ...claims, sub: randomUUID() })}.${signature}`],
    ["an altered signature", `${header}.${payload}.${signature.replace(/^./, (first) => (first === "A" ? "B" : "A"))}`],
    ["no signature", `${header}.${payload}.`],
    ["another key", signedWith(own, claims, { sign: (input) => signWith(algorithm, input, other.key) })],
    ["an unknown key", signedWith(other, claims)],
    ["the algorithm none", signedWith(own, claims, { header: { alg: "none" }, sign: () => Buffer.alloc(0) })],
    [
      "an HMAC with the public keys",
      signedWith(own, claims, {
        header: { alg: "HS256" },
        sign: (input) => createHmac("sha256", publicKeys).update(input).digest(),
      }),
    ],
    ["no token", "x"],
  ];
  const folder = await temporaryFolder();
  const path = join(folder, file);
  const text = programOf(heading).replaceAll(sampleOrigin, url).replaceAll("ES256", algorithm);
  await writeFile(path, text.replace("golang-jwt/jwt/v4", "golang-jwt/jwt")); // Debian has no modules
  const [program, ...args] = command(path, folder);
  const tokens = [token, ...rejected.map(([, token]) => token), token];
  const { stdout } = await run(program, [...args, ...tokens], {
    env: { ...environment, ...settings, GOCACHE: join(folder, "cache"), GOTMPDIR: folder },
    timeout: 120_000,
  }).catch(({ stderr }) => {
    throw new Error(String(stderr)); // without the tokens
  });
  const lines = stdout.trim().split("\n");
  expect(lines).toHaveLength(tokens.length);
  expect([lines[0], lines.at(-1)]).toEqual([id, id]);
  rejected.forEach(([name], index) => {
    expect(lines[index + 1], name).toMatch(/^rejected: ./);
  });
});
