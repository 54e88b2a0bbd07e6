/** A session belongs to its user, and a refresh token works once. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Operation } from "../contract/operations.ts";
import { type Probe, Unchecked } from "./probe.ts";

/** The name of the parameter by which a session is ended. */
const parameterOf = ({ path }: Operation): string => /\{(\w+)\}$/.exec(path)?.[1] ?? "id";

export async function sessionsAreOnesOwn({
  register,
  signIn,
  call,
  need,
  claim,
  claimSuccess,
  opens,
}: Probe): Promise<void> {
  const [one, other] = [await register(), await register()];
  const [session, foreign] = [await signIn(one), await signIn(other)];
  const end = need("endSession");
  const path = { [parameterOf(end)]: session.id };
  for (const credentials of [{ basic: other.basic }, { bearer: foreign.bearer }]) {
    const { status } = await call(end, { ...credentials, path });
    claim(status >= 400, `another user's session was ended: ${status}`);
    claim(await opens({ bearer: session.bearer }), "a session ends although its end was refused to another user");
    const listed = await call(need("listSessions"), credentials);
    claim(!listed.text.includes(session.id), "another user's session is listed");
  }
  const own = claimSuccess(await call(need("listSessions"), { bearer: session.bearer }), "sessions are not listed");
  claim(own.text.includes(session.id), "one's own session is not listed");
  claim((await call(end, { basic: one.basic, path })).status < 300, "one's own session cannot be ended");
  const again = (await call(end, { basic: one.basic, path })).status;
  claim(again === 404, `a session can be ended twice: ${again}`);
  const left = await call(need("listSessions"), { basic: one.basic });
  claim(!left.text.includes(session.id), "a session is listed after its end");
}

/** RFC 9700, section 4.14.2: a refresh token that is used again ends its session. */
export async function reuseIsNoticed({
  register,
  signIn,
  refresh,
  opens,
  claim,
  claimSuccess,
  insight,
}: Probe): Promise<void> {
  const person = await register();
  const first = await signIn(person);
  const second = claimSuccess(await refresh(first.refresh), "a refresh token does not work").json;
  const token = String(second["refresh_token"]);
  claim(token !== first.refresh, "a refresh gives the same refresh token");
  claim(String(second["id"]) === first.id, "a refresh gives another session");
  claim(await opens({ bearer: String(second["access_token"]) }), "a refreshed token does not work");
  const third = claimSuccess(await refresh(token), "a successor does not work").json;

  const { refreshGraceSeconds } = insight;
  if (refreshGraceSeconds === undefined) throw new Unchecked("the grace for a lost answer is not known");
  await sleep(refreshGraceSeconds * 1000 + 100);
  const reused = await refresh(first.refresh);
  claim(reused.status === 401, `a used refresh token works again: ${reused.status}`);
  claim(!(await opens({ bearer: String(third["access_token"]) })), "a token works after the reuse of a refresh token");
  claim(
    (await refresh(String(third["refresh_token"]))).status === 401,
    "a session goes on after the reuse of a refresh token",
  );
}

/** Within the grace for a lost answer, the same successor; from elsewhere, theft. */
export async function lostAnswersAreGivenAgain({
  register,
  signIn,
  refresh,
  claim,
  claimSuccess,
  insight,
}: Probe): Promise<void> {
  if (!insight.refreshGraceSeconds) throw new Unchecked("the grace for a lost answer is not known");
  const session = await signIn(await register());
  const successor = claimSuccess(await refresh(session.refresh), "a refresh token does not work").json["refresh_token"];
  const again = await refresh(session.refresh);
  if (again.status === 200) claim(again.json["refresh_token"] === successor, "a refresh token has two successors");
  const copied = await refresh(session.refresh, "127.0.0.2");
  claim(copied.status === 401, `a used refresh token works from another network: ${copied.status}`);
  claim((await refresh(String(successor))).status === 401, "a session goes on after the theft of a refresh token");
}

/** Of what is no refresh token, nothing happens to the session. */
export async function guessesEndNothing({ register, signIn, refresh, claim }: Probe): Promise<void> {
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
    claim(status === 400 || status === 401, `what is no refresh token is answered with ${status}: ${guess}`);
  }
  claim((await refresh(one.refresh)).status === 200, "a session has ended by guesses");
}

export async function sessionsAreLimited({
  register,
  signIn,
  opens,
  call,
  need,
  claim,
  insight,
}: Probe): Promise<void> {
  const { sessionsPerUser } = insight;
  if (sessionsPerUser === undefined) throw new Unchecked("the limit of sessions is not known");
  const person = await register();
  const oldest = await signIn(person);
  for (let count = 1; count < sessionsPerUser; count += 1) await signIn(person);
  claim(await opens({ bearer: oldest.bearer }), "a session ends before there are too many");
  await signIn(person);
  claim(!(await opens({ bearer: oldest.bearer })), "a user has more sessions than the limit");
  const { json } = await call(need("listSessions"), { basic: person.basic, query: "limit=100" });
  const count = (json["sessions"] as unknown[]).length;
  claim(count === sessionsPerUser, `of ${sessionsPerUser} sessions ${count} are listed`);
}

/** Pages: all there is, each once, in pages no longer than asked for. */
export async function pagesAreWhole({ register, signIn, call, claim, need }: Probe): Promise<void> {
  const person = await register();
  for (let count = 0; count < 5; count += 1) await signIn(person);
  const list = need("listSessions");
  if (!list.parameters.some(({ name }) => name === "cursor")) throw new Unchecked("nothing is in pages");
  const seen: string[] = [];
  let cursor: unknown = null;
  do {
    const query: string = cursor === null ? "limit=2" : `limit=2&cursor=${cursor}`;
    const { json } = await call(list, { basic: person.basic, query });
    const page = json["sessions"] as { id: string }[];
    claim(page.length <= 2, `a page of 2 has ${page.length}`);
    seen.push(...page.map(({ id }) => id));
    cursor = json["next_cursor"];
    claim(seen.length <= 5, "pages do not end");
  } while (cursor !== null);
  claim(new Set(seen).size === 5, `of 5 sessions ${seen.length} are in pages, ${new Set(seen).size} of them different`);
  const whole = await call(list, { basic: person.basic });
  claim(
    (whole.json["sessions"] as unknown[]).length === 5 && whole.json["next_cursor"] === null,
    "a page is not whole",
  );
}
