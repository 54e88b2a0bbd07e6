/**
 * Sessions of browsers at the pages of this service. A browser has a cookie with the id of its session and a secret. It is no refresh
 * token: it has another length, its secret is not derived from a seed, and the statements of refreshes exclude its row.
 */
import { randomBytes } from "node:crypto";
import { v7 as uuidv7 } from "uuid";
import { sessionId } from "../../identifiers.ts";
import type { PasswordPrincipal } from "../../principal.ts";
import { digestOf } from "../refreshSecrets.ts";
import type { Sessions } from "../sessions.ts";
import type { Device } from "../storeTypes.ts";
import { type PageCookies, sessionCookieName } from "./cookies.ts";
import type { BrowserSession, BrowserSessionStore } from "./storeTypes.ts";

export type BrowserSessions = ReturnType<typeof createBrowserSessions>;

type Parts = {
  store: BrowserSessionStore;
  sessions: Pick<Sessions, "insert" | "end">;
  /** Without use, a session expires after this time. */
  idleSeconds: number;
};

/** A session is renewed at most this often, so that few pages write. */
const renewalSeconds = 3_600;

export function createBrowserSessions({ store, sessions, idleSeconds }: Parts) {
  /**
   * Starts a session with a new cookie, so that an attacker cannot plant a known one (session fixation). Ends the browser's previous
   * session, also if it is another user's.
   * @param cookies those that the browser has sent
   * @returns the value of the new cookie
   * @throws {Problem} `invalid-credentials` if the password was changed meanwhile
   */
  async function create(principal: PasswordPrincipal, device: Device, cookies: PageCookies): Promise<string> {
    const id = sessionId(uuidv7());
    const secret = randomBytes(32).toString("base64url");
    await sessions.insert(principal, device, {
      id,
      seed: randomBytes(32),
      digest: digestOf(secret),
      isBrowser: true,
      audience: null,
      scopes: null,
    });
    await end(cookies);
    return `${id}.${secret}`;
  }

  /**
   * @returns `undefined` unless the browser has sent the cookie of a live session
   * @throws {Problem} `database-unavailable`
   */
  async function find(cookies: PageCookies): Promise<BrowserSession | undefined> {
    const presented = parse(cookies?.[sessionCookieName]);
    if (!presented) return undefined;
    const found = await store.find(presented.id, presented.digest);
    if (!found) return undefined;
    const { secondsSinceUse, ...session } = found;
    // If this fails, for example on a database that accepts no writes, the next request tries again.
    if (secondsSinceUse > renewalSeconds) await store.renew(session.id, idleSeconds).catch(() => {});
    return session;
  }

  /** Ends the session of a cookie. Does nothing for a cookie of no live session. @throws {Problem} `database-unavailable` */
  async function end(cookies: PageCookies): Promise<void> {
    const session = await find(cookies);
    if (session) await sessions.end(session.userId, session.id);
  }

  return { create, find, end };
}

const form = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([\w-]{43})$/;

function parse(cookie = "") {
  const [, id, secret] = form.exec(cookie) ?? [];
  return id === undefined || secret === undefined ? undefined : { id: sessionId(id), digest: digestOf(secret) };
}
