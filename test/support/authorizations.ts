/** Authorizations as a browser and a client go through them, without the pages' markup. */
import { randomBytes } from "node:crypto";
import type { Received } from "./client.ts";
import { createCookieJar } from "./cookieJar.ts";
import { registerClient, type TestClient } from "./oauthClients.ts";
import { challengeOf, redirectUri } from "./oauthCodes.ts";
import { password, type TestService } from "./service.ts";

/** Registers a client for authorization codes: a public one, unless its members say otherwise. */
export const registerApp = (
  service: TestService,
  basic: [string, string],
  members: Record<string, unknown> = {},
): Promise<TestClient> =>
  registerClient(service, basic, {
    name: "An app",
    public: true,
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: [redirectUri],
    scopes: ["account:read", "account:write"],
    ...members,
  });

export type Query = Record<string, string | undefined>;

/** @returns the parameters of a valid request, and the verifier of its challenge */
export function requestOf({ client_id }: { client_id: string }, more: Query = {}) {
  const verifier = randomBytes(32).toString("base64url");
  const query: Query = {
    response_type: "code",
    client_id,
    redirect_uri: redirectUri,
    code_challenge: challengeOf(verifier),
    code_challenge_method: "S256",
    state: "a state",
    scope: "openid account:read",
    ...more,
  };
  return { verifier, query };
}

export const targetOf = (query: Query): string =>
  `/oauth/authorize?${Object.entries(query)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]))
    .join("&")}`;

/** The parameters that a redirect adds. */
export const resultOf = (answer: Received): Record<string, string> => parametersOf(answer.header("location") ?? "");

export const parametersOf = (uri: string): Record<string, string> =>
  Object.fromEntries(new URL(uri, "http://127.0.0.1").searchParams);

/** A browser that keeps cookies and follows no redirects. */
export function createBrowser(service: TestService) {
  const jar = createCookieJar();
  const send = async (method: string, target: string, form?: Record<string, string>): Promise<Received> =>
    jar.keep(await service.send(method, target, { headers: jar.headers(), ...(form && { form }) }));
  return {
    cookies: jar.cookies,
    get: (target: string) => send("GET", target),
    post: (target: string, form: Record<string, string>) => send("POST", target, form),
    /** Opens a request of a client. */
    authorize: (query: Query) => send("GET", targetOf(query)),
    /** Signs a user in, at the page to which a request has led. @returns where the browser continues */
    async signIn(username: string, authorization: string): Promise<Received> {
      return send("POST", "/oauth/sign-in", { username, password, authorization });
    },
    /** Decides at the consent page. */
    decide: (authorization: string, decision: "allow" | "deny") =>
      send("POST", "/oauth/consent", { authorization, decision }),
  };
}

export type Browser = ReturnType<typeof createBrowser>;

/** A browser whose user is signed in. */
export async function signedInBrowser(service: TestService, username: string, client: TestClient): Promise<Browser> {
  const browser = createBrowser(service);
  const { authorization = "" } = resultOf(await browser.authorize(requestOf(client).query));
  const answer = await browser.signIn(username, authorization);
  if (answer.status !== 303) throw new Error(`${username} was not signed in: ${answer.status} ${answer.text}`);
  return browser;
}

/** Opens a request in a browser, up to the consent page. @returns the sealed request */
export async function openConsent(browser: Browser, query: Query): Promise<string> {
  const answer = await browser.authorize(query);
  const location = answer.header("location") ?? "";
  if (!location.startsWith("/oauth/consent?")) throw new Error(`no consent page: ${answer.status} ${location}`);
  return resultOf(answer)["authorization"] ?? "";
}

/** Redeems a code. */
export const redeem = (
  service: TestService,
  { client_id }: TestClient,
  { code = "", verifier = "" }: { code?: string | undefined; verifier?: string },
  more: Record<string, string> = {},
): Promise<Received> =>
  service.send("POST", "/oauth/token", {
    form: {
      grant_type: "authorization_code",
      client_id,
      code,
      code_verifier: verifier,
      redirect_uri: redirectUri,
      ...more,
    },
  });
