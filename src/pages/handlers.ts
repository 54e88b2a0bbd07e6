import { seeOther } from "../http/redirect.ts";
import type { Authorizations, Question } from "../oauth/authorization/authorizations.ts";
import { signedInUser } from "../oauth/authorization/handlers.ts";
import { maxQueryLength } from "../oauth/authorization/parameters.ts";
import { addToQuery, formTarget, isTrusted, placeOf } from "../oauth/authorization/redirectUri.ts";
import type { AuthorizationRequest } from "../oauth/authorization/request.ts";
import { type ReadSignOutRequest, readSignOutParameters } from "../oauth/signOut.ts";
import type { Handler, NavigationHandler } from "../openapi/binding.ts";
import { Problem } from "../problems/problems.ts";
import { clientNetworks } from "../requestContext.ts";
import type { BrowserSessions } from "../sessions/browser/browserSessions.ts";
import {
  browserCookie,
  browserSecret,
  endedSessionCookie,
  formToken,
  requireToken,
} from "../sessions/browser/cookies.ts";
import type { Users } from "../users/users.ts";
import {
  beginSession,
  continueAt,
  type FormParts,
  openForm,
  openSentForm,
  registrationError,
  wrongCredentials,
} from "./credentialsForm.ts";
import { locationOf } from "./forms.ts";
import type { Page } from "./layout.ts";
import type { Pages } from "./pages.ts";
import { texts } from "./texts.ts";

export type PageParts = FormParts & {
  pages: Pages;
  browserSessions: BrowserSessions;
  users: Pick<Users, "register">;
  authorizations: Pick<Authorizations, "proceed" | "decide">;
  readSignOutRequest: ReadSignOutRequest;
  /** Whether people can register on the page. */
  isPageRegistrationOpen: boolean;
};

export const getSignInPage =
  (parts: PageParts): Handler<"getSignInPage"> =>
  async ({ query, cookie }) => {
    const { form, secret } = await openForm(parts, query ?? {}, cookie);
    return { status: 200, ...withCookie(parts.pages.signInPage(form), browserCookie(secret)) };
  };

export const signIn =
  (parts: PageParts): Handler<"signIn"> =>
  async ({ body, cookie }) => {
    const form = await openSentForm(parts, body, cookie);
    const { username } = body;
    const begun = await beginSession(parts, body, cookie);
    return begun === undefined
      ? { status: 400, ...parts.pages.signInPage({ ...form, username, error: wrongCredentials }) }
      : seeOther(continueAt(form.state), begun);
  };

export const getSignUpPage =
  (parts: PageParts): Handler<"getSignUpPage"> =>
  async ({ query, cookie }) => {
    if (!parts.isPageRegistrationOpen) throw new Problem("not-found");
    const { form, secret } = await openForm(parts, query ?? {}, cookie);
    return { status: 200, ...withCookie(parts.pages.signUpPage(form), browserCookie(secret)) };
  };

export const signUp =
  (parts: PageParts): Handler<"signUp"> =>
  async ({ body, cookie }) => {
    if (!parts.isPageRegistrationOpen) throw new Problem("not-found");
    const form = await openSentForm(parts, body, cookie);
    const { username, password } = body;
    try {
      await parts.users.register(username, password, clientNetworks());
    } catch (refusal) {
      const error = registrationError(refusal);
      if (!error) throw refusal;
      return { status: 400, ...parts.pages.signUpPage({ ...form, username, error }) };
    }
    const begun = await beginSession(parts, body, cookie);
    // Undefined if the password was changed meanwhile. Then the user is asked for it.
    return seeOther(begun === undefined ? locationOf("sign-in", form.state) : continueAt(form.state), begun);
  };

export const getConsentPage =
  (parts: PageParts): Handler<"getConsentPage"> =>
  async ({ query: { authorization }, cookie }) => {
    const request = await parts.authorizations.open(authorization, { cookie: browserSecret(cookie) });
    const session = await parts.browserSessions.find(cookie);
    const next = await parts.authorizations.proceed(request, session && signedInUser(session));
    if (next.kind === "redirect") return seeOther(next.uri);
    if (next.kind === "sign-in" || !session) return seeOther(locationOf("sign-in", { authorization }));
    const question = shown(request, next.question);
    const { username } = session;
    return { status: 200, ...parts.pages.consentPage({ ...question, username, state: { authorization } }) };
  };

export const decideConsent =
  ({ authorizations, browserSessions }: PageParts): Handler<"decideConsent"> =>
  async ({ body: { authorization, decision }, cookie }) => {
    const request = await authorizations.open(authorization, { cookie: browserSecret(cookie) });
    const session = await browserSessions.find(cookie);
    if (!session) return seeOther(locationOf("sign-in", { authorization }));
    try {
      return seeOther(await authorizations.decide(request, signedInUser(session), decision));
    } catch (error) {
      if (!(error instanceof Problem) || error.slug !== "login-required") throw error;
      return seeOther(locationOf("sign-in", { authorization }));
    }
  };

export const getSignOutPage = ({
  pages,
  browserSessions,
  readSignOutRequest,
}: PageParts): NavigationHandler<"getSignOutPage"> => ({
  async navigate(query, cookie) {
    const { client, returnTo, withoutHint } = await readSignOutRequest(readSignOutParameters(query));
    const session = await browserSessions.find(cookie);
    if (!session && client && returnTo !== undefined && isTrusted(client, returnTo)) return seeOther(returnTo);
    if (!session) {
      const { doneTitle: title, done: text } = texts.signOut;
      return { status: 200, ...pages.messagePage({ title, text }) };
    }
    const secret = browserSecret(cookie);
    const page = pages.signOutPage({
      state: { token: formToken(secret), hidden: withoutHint },
      username: session.username,
      formTarget: returnTo === undefined ? undefined : formTarget(returnTo),
    });
    return { status: 200, ...withCookie(page, browserCookie(secret)) };
  },
});

/** The browser continues with a GET, which has the cookies that it does not send with a form of another site. */
export const submitSignOutRequest = ({ readSignOutRequest }: PageParts): NavigationHandler<"submitSignOutRequest"> => ({
  async navigate(text) {
    const { withoutHint } = await readSignOutRequest(readSignOutParameters(text));
    const location = addToQuery(locationOf("sign-out", {}), withoutHint);
    if (location.length > maxQueryLength) throw new Problem("payload-too-large");
    return seeOther(location);
  },
});

export const signOut =
  ({ browserSessions, readSignOutRequest }: PageParts): Handler<"signOut"> =>
  async ({ body, cookie }) => {
    requireToken(body.token, cookie);
    const { returnTo } = await readSignOutRequest(body);
    await browserSessions.end(cookie);
    return seeOther(returnTo ?? locationOf("sign-out", {}), endedSessionCookie);
  };

/** What the consent page shows. */
function shown({ redirectUri }: AuthorizationRequest, { client, scopes, apiName }: Question) {
  // Who publishes the document says more than a loopback address, to which every such client may return.
  const host = placeOf(client.registration === "metadata-document" ? client.id : redirectUri);
  return { client, scopes, api: apiName, host, formTarget: formTarget(redirectUri) };
}

export const withCookie = ({ headers, body }: Page, cookie: string) => ({
  headers: { ...headers, "Set-Cookie": cookie },
  body,
});
