/** Only tokens that the service issued for itself are accepted, until they expire or are revoked. */
import { createHmac, createPublicKey, type JsonWebKey } from "node:crypto";
import { forged, forgeries } from "../forgedTokens.ts";
import { type Json, jsonOf } from "../json.ts";
import { basicHeader, type Probe, type TestUser, Unchecked } from "./probe.ts";

const decoded = (part: string | undefined): Json => jsonOf(Buffer.from(part ?? "", "base64url").toString());
const encoded = (json: Json) => Buffer.from(JSON.stringify(json)).toString("base64url");

/** Forged tokens are rejected, and other encodings of a valid token (RFC 8725). */
export async function tokensCannotBeForged({ register, token, accepts, assert, call, roles }: Probe): Promise<void> {
  const [one, other] = [await register(), await register()];
  const good = await token(one);
  assert(await accepts({ bearer: good }), "a valid token is rejected");
  const [header = "", payload = "", signature = ""] = good.split(".");
  const anothers = encoded({ ...decoded(payload), sub: other.id, username: other.username });
  const lasting = encoded({ ...decoded(payload), exp: 4_102_444_800 });
  const variants: [string, string][] = [
    ["for another user, with the signature of the original token", `${header}.${anothers}.${signature}`],
    ["with a later expiry and the original signature", `${header}.${lasting}.${signature}`],
    ["of alg none", `${encoded({ ...decoded(header), alg: "none" })}.${payload}.`],
    ["of alg none for another user", `${encoded({ ...decoded(header), alg: "none" })}.${anothers}.`],
    ["of alg None with a signature", `${encoded({ ...decoded(header), alg: "None" })}.${payload}.${signature}`],
    ["with unused bits", `${header}.${payload}.${flippedAt(signature, signature.length - 1, 1)}`],
    ["with a flipped bit in its signature", `${header}.${payload}.${flippedAt(signature, 9, 8)}`],
    ["without a kid", `${encoded({ ...decoded(header), kid: undefined })}.${payload}.${signature}`],
    ["with another kid", `${encoded({ ...decoded(header), kid: "A".repeat(43) })}.${payload}.${signature}`],
    ["with padding", `${good}=`],
    ["with a blank inside", `${header}.${payload} .${signature}`],
    ["with a fourth part", `${good}.${signature}`],
  ];
  for (let how = 0; how < forgeries; how += 1) variants.push([`of forgery ${how}`, forged(good, how)]);
  if (roles.keys) {
    const { keys = [] } = (await call(roles.keys)).json as { keys?: JsonWebKey[] };
    for (const key of keys) {
      const secret = createPublicKey({ key, format: "jwk" }).export({ format: "pem", type: "spki" });
      const text = `${encoded({ ...decoded(header), alg: "HS256" })}.${anothers}`;
      const mac = createHmac("sha256", secret).update(text).digest("base64url");
      variants.push(["signed with the public key as a secret", `${text}.${mac}`]);
    }
  }
  for (const [how, variant] of variants) {
    assert(!(await accepts({ bearer: variant })), `a token ${how} is accepted`);
    assert(!(await accepts({ raw: basicHeader(variant, "unused") })), `a token ${how} is accepted as a Basic username`);
  }
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Flips bits of one character of a base64url text. */
const flippedAt = (text: string, at: number, bits: number): string =>
  text.slice(0, at) + alphabet[alphabet.indexOf(text[at] as string) ^ bits] + text.slice(at + 1);

/** Every claim is verified, also in a token with a valid signature (RFC 9068, section 4). */
export async function claimsAreVerified({ register, token, accepts, assert, details: { sign } }: Probe): Promise<void> {
  if (!sign) throw new Unchecked("the service's key is not known");
  const user = await register();
  const [header, claims] = (await token(user)).split(".").slice(0, 2).map(decoded) as [Json, Json];
  const duration = Number(claims["exp"]) - Number(claims["iat"]);
  assert(duration > 0 && duration <= 86_400, `a token lives for ${duration} seconds`);
  assert(await accepts({ bearer: await sign(header, claims) }), "a valid token is rejected");
  const now = Math.floor(Date.now() / 1000);
  const wrong: [string, Json, Json][] = [
    ["that has expired", {}, { iat: now - 3_600, exp: now - 5 }],
    ["that expired a moment ago", {}, { iat: now - 600, exp: now - 1 }],
    ["without exp", {}, { exp: undefined }],
    ["of the future", {}, { iat: now + 3_600, exp: now + 7_200 }],
    ["for another audience", {}, { aud: "another" }],
    ["without an audience", {}, { aud: undefined }],
    ["of another issuer", {}, { iss: "another" }],
    ["without an issuer", {}, { iss: undefined }],
    ["of another type", { typ: "JWT" }, {}],
    ["without a type", { typ: undefined }, {}],
    ["without a subject", {}, { sub: undefined }],
    ["without a jti", {}, { jti: undefined }],
    ["with a critical extension", { crit: ["unknown"], unknown: 1 }, {}],
  ];
  for (const [how, otherHeader, otherClaims] of wrong) {
    const bearer = await sign({ ...header, ...otherHeader }, { ...claims, ...otherClaims }).catch(() => undefined);
    if (bearer !== undefined) assert(!(await accepts({ bearer })), `a token ${how} is accepted`);
  }
}

/** Each operation accepts the declared credentials only. */
export async function onlyDeclaredCredentialsAreAccepted(probe: Probe): Promise<void> {
  const { api, register, token, call, assert, inputsFor } = probe;
  const user = await register();
  const bearer = await token(user);
  for (const operation of api.operations.filter(({ schemes }) => schemes.length > 0)) {
    const { basic: _, ...inputs } = (await inputsFor(operation, user)) ?? {};
    const where = `${operation.method} ${operation.path}`;
    const refused = async (how: string, credentials: object) => {
      const answer = await call(operation, { ...inputs, ...credentials });
      assert(
        [400, 401].includes(answer.status),
        `${where}: accepted without valid credentials, ${how}: ${answer.status}`,
      );
      if (answer.status === 401) assertChallenges(probe, operation.schemes, answer.headers, where);
    };
    await refused("with nothing", {});
    await refused("with an unknown scheme", { raw: "Digest username=a" });
    await refused("with an empty token", { raw: "Bearer" });
    await refused("with a wrong password", { basic: [user.username, "a wrong password"] });
    if (!operation.schemes.includes("bearer")) {
      await refused("with a token, although it asks for the password", { bearer });
      await refused("with a token as a Basic username, although it asks for the password", {
        basic: [bearer, "unused"],
      });
    }
    if (!operation.schemes.includes("basic"))
      await refused("with a password, although it asks for a token", { basic: user.basic });
  }
}

/** A 401 has a challenge for each scheme of the operation (RFC 9110, section 11.6.1). */
function assertChallenges(
  { assert }: Probe,
  schemes: string[],
  headers: Record<string, string[]>,
  where: string,
): void {
  const named = (headers["www-authenticate"] ?? []).map((challenge) => challenge.split(" ")[0]?.toLowerCase());
  assert(
    named.sort().join() === [...schemes].sort().join(),
    `${where}: the challenges are for ${named}, not ${schemes}`,
  );
}

/** Credentials are revoked immediately, and no others are. */
export async function endedCredentialsAreRejected({
  register,
  signIn,
  token,
  refresh,
  accepts,
  call,
  assert,
  assertSuccess,
  operationFor,
}: Probe): Promise<void> {
  const bystander = await register();
  const [session, apart] = [await signIn(bystander), await token(bystander)];
  const newPassword = "Seven purple lanterns float above quiet harbours";
  const endings: [string, (user: TestUser, bearer: string, id: string) => Promise<unknown>, Set<string>][] = [
    [
      "a change of password",
      async ({ basic, password }) => {
        const body = { current_password: password, new_password: newPassword };
        return assertSuccess(
          await call(operationFor("changePassword"), { basic, body }),
          "the password cannot be changed",
        );
      },
      new Set(["token", "session", "refresh", "password"]),
    ],
    [
      "signing out everywhere",
      ({ basic }) => done(operationFor("endAllSessions"), { basic }),
      new Set(["token", "session", "refresh"]),
    ],
    [
      "ending the session",
      ({ basic }, _bearer, id) => done(operationFor("endSession"), { basic, path: pathOf(id) }),
      new Set(["session", "refresh"]),
    ],
    [
      "revoking the session's token",
      (_, bearer) => done(operationFor("revokeToken"), { bearer }),
      new Set(["session", "refresh"]),
    ],
    [
      "deleting the user",
      ({ basic }) => done(operationFor("deleteUser"), { basic }),
      new Set(["token", "session", "refresh", "password"]),
    ],
  ];
  for (const [how, act, ended] of endings) {
    const user = await register();
    const own = { session: await signIn(user), token: await token(user) };
    await act(user, own.session.bearer, own.session.id);
    const still = (what: string) => `${what} still works after ${how}`;
    const broken = (what: string) => `${what} no longer works after ${how}`;
    for (const [name, what, works] of [
      ["token", "a token", () => accepts({ bearer: own.token })],
      ["session", "a session's token", () => accepts({ bearer: own.session.bearer })],
      ["password", "the old password", () => accepts({ basic: user.basic })],
      ["refresh", "a refresh token", async () => (await refresh(own.session.refresh)).status === 200],
    ] as const) {
      if (name === "refresh" && !ended.has(name)) continue;
      const isOver = ended.has(name);
      assert((await works()) !== isOver, isOver ? still(what) : broken(what));
    }
    if (how === "a change of password")
      assert(await accepts({ basic: [user.username, newPassword] }), broken("the new password"));
  }
  assert(await accepts({ bearer: session.bearer }), "another user's session has ended");
  assert(await accepts({ bearer: apart }), "another user's token is revoked");

  // A token without a session can be revoked as well. A new user with the name of a deleted one is another user.
  const user = await register();
  const [revoked, stale] = [await token(user), await token(user)];
  await done(operationFor("revokeToken"), { bearer: revoked });
  assert(!(await accepts({ bearer: revoked })), "a token still works after revoking it");
  assert(await accepts({ bearer: stale }), "another token of the same user is revoked");
  await done(operationFor("deleteUser"), { basic: user.basic });
  await register(undefined, user.username);
  assert(!(await accepts({ bearer: stale })), "a deleted user's token works for the next one of that name");

  async function done(operation: ReturnType<typeof operationFor>, sent: object) {
    return assertSuccess(await call(operation, sent), `${operation.method} ${operation.path} does not work`);
  }
  function pathOf(id: string) {
    const [, name = "id"] = /\{(\w+)\}$/.exec(operationFor("endSession").path) ?? [];
    return { [name]: id };
  }
}
