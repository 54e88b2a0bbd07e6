/** A session belongs to its user, and a refresh token can be used once. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Operation } from "../contract/operations.ts";
import { type Probe, Unchecked } from "./probe.ts";

/** The name of the path parameter that identifies a session. */
const parameterOf = ({ path }: Operation): string => /\{(\w+)\}$/.exec(path)?.[1] ?? "id";

export async function sessionsBelongToTheirUser({
  register,
  signIn,
  call,
  operationFor,
  assert,
  assertSuccess,
  accepts,
}: Probe): Promise<void> {
  const [one, other] = [await register(), await register()];
  const [session, foreign] = [await signIn(one), await signIn(other)];
  const end = operationFor("endSession");
  const path = { [parameterOf(end)]: session.id };
  for (const credentials of [{ basic: other.basic }, { bearer: foreign.bearer }]) {
    const { status } = await call(end, { ...credentials, path });
    assert(status >= 400, `another user's session was ended: ${status}`);
    assert(
      await accepts({ bearer: session.bearer }),
      "a session ended although the request of another user was rejected",
    );
    const listed = await call(operationFor("listSessions"), credentials);
    assert(!listed.text.includes(session.id), "another user's session is listed");
  }
  const own = assertSuccess(
    await call(operationFor("listSessions"), { bearer: session.bearer }),
    "sessions are not listed",
  );
  assert(own.text.includes(session.id), "the session is not listed for its user");
  assert((await call(end, { basic: one.basic, path })).status < 300, "the session cannot be ended by its user");
  const again = (await call(end, { basic: one.basic, path })).status;
  assert(again === 404, `a session can be ended twice: ${again}`);
  const left = await call(operationFor("listSessions"), { basic: one.basic });
  assert(!left.text.includes(session.id), "a session is listed after its end");
}

/** The reuse of a refresh token ends its session (RFC 9700, section 4.14.2). */
export async function refreshTokenReuseIsDetected({
  register,
  signIn,
  refresh,
  accepts,
  assert,
  assertSuccess,
  details,
}: Probe): Promise<void> {
  const user = await register();
  const first = await signIn(user);
  const second = assertSuccess(await refresh(first.refresh), "a refresh token does not work").json;
  const token = String(second["refresh_token"]);
  assert(token !== first.refresh, "a refresh returns the same refresh token");
  assert(String(second["id"]) === first.id, "a refresh returns another session");
  assert(await accepts({ bearer: String(second["access_token"]) }), "a refreshed token does not work");
  const third = assertSuccess(await refresh(token), "a successor does not work").json;

  const { refreshGraceSeconds } = details;
  if (refreshGraceSeconds === undefined) throw new Unchecked("the grace period is not known");
  await sleep(refreshGraceSeconds * 1000 + 100);
  const reused = await refresh(first.refresh);
  assert(reused.status === 401, `a used refresh token works again: ${reused.status}`);
  assert(
    !(await accepts({ bearer: String(third["access_token"]) })),
    "a token works after the reuse of a refresh token",
  );
  assert(
    (await refresh(String(third["refresh_token"]))).status === 401,
    "a session continues after the reuse of a refresh token",
  );
}

/** A refresh whose response was lost can be repeated for a short time, but not from another network. */
export async function lostRefreshesCanBeRepeated({
  register,
  signIn,
  refresh,
  assert,
  assertSuccess,
  details,
}: Probe): Promise<void> {
  if (!details.refreshGraceSeconds) throw new Unchecked("the grace period is not known");
  const session = await signIn(await register());
  const successor = assertSuccess(await refresh(session.refresh), "a refresh token does not work").json[
    "refresh_token"
  ];
  const again = await refresh(session.refresh);
  if (again.status === 200)
    assert(again.json["refresh_token"] === successor, "a repeated refresh returns another refresh token");
  const copied = await refresh(session.refresh, "127.0.0.2");
  assert(copied.status === 401, `a used refresh token works from another network: ${copied.status}`);
  assert((await refresh(String(successor))).status === 401, "a session continues after the theft of a refresh token");
}

/** Invalid refresh tokens do not end a session. */
export async function invalidRefreshTokensEndNoSession({ register, signIn, refresh, assert }: Probe): Promise<void> {
  const [one, other] = [await signIn(await register()), await signIn(await register())];
  const [id = "", secret = ""] = one.refresh.split(".");
  const [, foreign = ""] = other.refresh.split(".");
  const guesses = [
    `${id}.${foreign}`,
    `${id}.${"A".repeat(secret.length)}`,
    `${id}.${secret.slice(0, -1)}`,
    `${id}.${secret}A`,
    `${id.toUpperCase()}.${secret}`,
    ` ${one.refresh}`,
    `${one.refresh}=`,
    `${one.refresh}\n`,
    id,
    secret,
  ];
  for (const guess of guesses) {
    const { status } = await refresh(guess);
    assert(status === 400 || status === 401, `an invalid refresh token returns ${status}: ${guess}`);
  }
  assert((await refresh(one.refresh)).status === 200, "a session was ended by invalid refresh tokens");
}

export async function sessionsAreLimited({
  register,
  signIn,
  accepts,
  call,
  operationFor,
  assert,
  details,
}: Probe): Promise<void> {
  const { sessionsPerUser } = details;
  if (sessionsPerUser === undefined) throw new Unchecked("the session limit is not known");
  const user = await register();
  const oldest = await signIn(user);
  for (let count = 1; count < sessionsPerUser; count += 1) await signIn(user);
  assert(await accepts({ bearer: oldest.bearer }), "a session ends below the limit");
  await signIn(user);
  assert(!(await accepts({ bearer: oldest.bearer })), "a user has more sessions than the limit");
  const { json } = await call(operationFor("listSessions"), { basic: user.basic, query: "limit=100" });
  const count = (json["sessions"] as unknown[]).length;
  assert(count === sessionsPerUser, `${count} of ${sessionsPerUser} sessions are listed`);
}

/** Pages contain every session once, and are no longer than requested. */
export async function pagesAreComplete({ register, signIn, call, assert, operationFor }: Probe): Promise<void> {
  const user = await register();
  for (let count = 0; count < 5; count += 1) await signIn(user);
  const list = operationFor("listSessions");
  if (!list.parameters.some(({ name }) => name === "cursor")) throw new Unchecked("no operation returns pages");
  const seen: string[] = [];
  let cursor: unknown = null;
  do {
    const query: string = cursor === null ? "limit=2" : `limit=2&cursor=${cursor}`;
    const { json } = await call(list, { basic: user.basic, query });
    const page = json["sessions"] as { id: string }[];
    assert(page.length <= 2, `a page of 2 has ${page.length}`);
    seen.push(...page.map(({ id }) => id));
    cursor = json["next_cursor"];
    assert(seen.length <= 5, "the pages never end");
  } while (cursor !== null);
  assert(
    new Set(seen).size === 5,
    `the pages list ${seen.length} sessions, ${new Set(seen).size} of them different, instead of 5`,
  );
  const whole = await call(list, { basic: user.basic });
  assert(
    (whole.json["sessions"] as unknown[]).length === 5 && whole.json["next_cursor"] === null,
    "the first page is not complete",
  );
}
