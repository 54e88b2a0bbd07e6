/** The forms for sign-in and registration. */
import type { Clients } from "../clients/clients.ts";
import type { Authorizations } from "../oauth/authorization/authorizations.ts";
import { formTarget } from "../oauth/authorization/redirectUri.ts";
import { Problem } from "../problems/problems.ts";
import { clientNetworks, requestContext } from "../requestContext.ts";
import type { BrowserSessions } from "../sessions/browser/browserSessions.ts";
import {
  browserSecret,
  formToken,
  type PageCookies,
  requireToken,
  sessionCookie,
} from "../sessions/browser/cookies.ts";
import type { Users } from "../users/users.ts";
import { type Continuation, type FormError, locationOf } from "./forms.ts";
import type { CredentialsForm } from "./pages.ts";
import { texts } from "./texts.ts";

export type FormParts = {
  browserSessions: Pick<BrowserSessions, "create" | "find">;
  users: Pick<Users, "signIn">;
  authorizations: Pick<Authorizations, "open">;
  clients: Pick<Clients, "find">;
};

/** The parameters of a form, as the contract names them. */
export type SentContinuation = { authorization?: string; user_code?: string; token?: string };

/**
 * Prepares a form for a browser.
 * @returns the form, and the secret of the browser, which has to be in its cookie
 * @throws {Problem} `invalid-request` if the authorization request is not this browser's, or has expired
 */
export async function openForm(
  { authorizations, clients, browserSessions }: FormParts,
  { authorization, user_code: userCode }: SentContinuation,
  cookies: PageCookies,
): Promise<{ form: CredentialsForm; secret: string }> {
  const secret = browserSecret(cookies);
  const session = await browserSessions.find(cookies);
  const signedInAs = session?.username;
  if (authorization === undefined)
    return { form: { state: { userCode, token: formToken(secret) }, signedInAs }, secret };
  const { clientId, redirectUri, loginHint, expectedUser } = await authorizations.open(authorization, {
    cookie: secret,
  });
  const client = await clients.find(clientId);
  const shown = { signedInAs, username: loginHint, client: client?.name, isKnown: expectedUser !== undefined };
  return { form: { state: { authorization }, ...shown, formTarget: formTarget(redirectUri) }, secret };
}

/** Prepares a form that a browser has sent. @throws {Problem} `invalid-request` if this browser has not got the form */
export async function openSentForm(
  parts: FormParts,
  body: SentContinuation,
  cookies: PageCookies,
): Promise<CredentialsForm> {
  if (body.authorization === undefined) requireToken(body.token, cookies);
  return (await openForm(parts, body, cookies)).form;
}

/**
 * Signs a user in, with a new session of the browser.
 * @returns the `Set-Cookie`; `undefined` for wrong credentials
 * @throws {Problem} `too-many-requests`, `overloaded`
 */
export async function beginSession(
  { users, browserSessions }: FormParts,
  { username, password }: { username: string; password: string },
  cookies: PageCookies,
): Promise<string | undefined> {
  const { address, userAgent } = requestContext();
  try {
    const principal = await users.signIn(username, password, clientNetworks());
    return sessionCookie(await browserSessions.create(principal, { address, userAgent }, cookies));
  } catch (error) {
    if (error instanceof Problem && error.slug === "invalid-credentials") return undefined;
    throw error;
  }
}

/** Where a user continues after a sign-in. */
export const continueAt = (state: Continuation): string =>
  locationOf(state.authorization === undefined ? "device" : "consent", state);

export const wrongCredentials: FormError = {
  text: texts.signIn.wrong,
  problem: "invalid-credentials",
  fields: ["username", "password"],
};

/** @returns what to tell the user about a name or a password that is not accepted; `undefined` for other errors */
export function registrationError(error: unknown): FormError | undefined {
  if (!(error instanceof Problem)) return undefined;
  const { slug: problem } = error;
  const { detail = "", errors = [] } = error.body("");
  if (problem === "username-taken") return { text: texts.signUp.taken, problem, fields: ["username"] };
  if (problem === "password-refused") return { text: detail, problem, fields: ["password"] };
  const [fault] = errors;
  if (problem !== "invalid-request" || !fault || !("pointer" in fault)) return undefined;
  const field = fault.pointer === "#/username" ? "username" : "password";
  return { text: texts.signUp.invalid(texts[field], fault.detail), problem, fields: [field] };
}
