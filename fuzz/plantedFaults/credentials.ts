/** Faults in passwords, names and tokens. */
import { fault, type PlantedFault } from "./fault.ts";

/** A password is mapped in another way, when it is registered and when it is used. */
const password = (name: string, mapped: string, what: RegExp) =>
  fault(name, "passwords-are-exact", what, [
    "src/unicode/mappings.ts",
    "(text: string): string =>\n  text.replace(",
    `(text: string): string =>\n  (${mapped}).replace(`,
  ]);

/** A claim that is not verified. */
const claim = (name: string, from: string, what: RegExp) =>
  fault(name, "claims-are-verified", what, ["src/tokens/accessTokens.ts", from, ""]);

const algNone = `if (/^none$/i.test(String(decodeProtectedHeader(token).alg)))
      return ownPrincipal(keyId(String(decodeProtectedHeader(token).kid)), decodeJwt(token));
    const kid = keyIdOf(token);`;

export const credentialFaults: PlantedFault[] = [
  password("password-case-folded", "text.toLowerCase()", /in (the other|lower) case/),
  password("password-cut-at-72-bytes", "Buffer.from(text).subarray(0, 72).toString()", /72 bytes/),
  password("password-trimmed", "text.trim()", /blank at the end/),
  password("password-blanks-collapsed", 'text.replace(/ +/g, " ")', /single blanks/),
  password("password-nfkc", 'text.normalize("NFKC")', /NFKC/),
  password("password-accents-dropped", 'text.normalize("NFD").replace(/\\p{M}/gu, "")', /without accents/),
  password("password-ends-at-nul", 'text.split("\\0")[0] ?? ""', /NUL/),
  fault("name-case-sensitive", "equivalent-usernames-are-one-user", /does not sign in/, [
    "src/users/users.ts",
    "const reference = { username: username ?? nobody };",
    "const reference = { username: username === undefined ? nobody : name };",
  ]),
  fault("name-nfkc", "equivalent-usernames-are-one-user", /another name signs in/, [
    "src/unicode/mappings.ts",
    "toLowerCase(codePointsOf(text).map(normalWidth))",
    'toLowerCase(codePointsOf(text.normalize("NFKC")))',
  ]),
  fault("name-width-sensitive", "equivalent-usernames-are-one-user", /does not sign in/, [
    "src/unicode/mappings.ts",
    "toLowerCase(codePointsOf(text).map(normalWidth))",
    "toLowerCase(codePointsOf(text))",
  ]),
  fault("basic-lax-base64", "basic-credentials-are-strict", /Basic credentials/, [
    "src/openapi/authorizationHeader.ts",
    'value === "" || bytes.toString("base64") !== value',
    'value === ""',
  ]),
  fault("basic-lossy-utf-8", "basic-credentials-are-strict", /not UTF-8/, [
    "src/openapi/authorizationHeader.ts",
    'if (!isUtf8(bytes)) throw malformed("is not UTF-8");',
    "",
  ]),
  fault("basic-drops-byte-order-mark", "basic-credentials-are-strict", /byte order mark/, [
    "src/openapi/authorizationHeader.ts",
    "const text = bytes.toString();",
    'const text = bytes.toString().replace(/^\\uFEFF/, "");',
  ]),
  fault(
    "token-alg-none",
    "tokens-cannot-be-forged",
    /alg none/,
    ["src/tokens/accessTokens.ts", "{ decodeProtectedHeader,", "{ decodeJwt, decodeProtectedHeader,"],
    ["src/tokens/accessTokens.ts", "const kid = keyIdOf(token);", algNone],
  ),
  fault("token-unused-bits", "tokens-cannot-be-forged", /unused bits|padding|blank/, [
    "src/tokens/accessTokens.ts",
    'part !== "" && Buffer.from(part, "base64url").toString("base64url") === part',
    'part !== ""',
  ]),
  claim(
    "token-expiry-ignored",
    "if (principal.expiresAt.getTime() / 1000 <= now) throw expired(principal.expiresAt);",
    /expired/,
  ),
  fault("token-audience-ignored", "claims-are-verified", /another audience/, [
    "src/tokens/accessTokens.ts",
    "const isOwn = accepted.includes(String(payload.aud));",
    "const isOwn = payload.aud !== undefined;",
  ]),
  claim("token-issuer-ignored", "        issuer: accepted,\n", /another issuer/),
  claim("token-type-ignored", '        typ: "at+jwt",\n', /another type/),
  fault("token-of-the-future", "claims-are-verified", /of the future/, [
    "src/tokens/accessTokens.ts",
    "if (principal.issuedAt.getTime() / 1000 > now + clockSkewSeconds)",
    "if (principal.issuedAt.getTime() / 1000 > now + 1_000_000)",
  ]),
  fault("token-lives-for-months", "claims-are-verified", /lives for/, [
    "src/tokens/accessTokens.ts",
    "exp: issuedAt + seconds }",
    "exp: issuedAt + seconds * 10_000 }",
  ]),
];
