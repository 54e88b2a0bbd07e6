/** A browser without scripts: it keeps cookies, and sends forms as Chromium does. Every answer is validated. */
import type { Client, Received } from "./client.ts";
import { insertClient } from "./clientRows.ts";
import { createCookieJar } from "./cookieJar.ts";
import { redirectUri as callback } from "./oauthCodes.ts";
import { password, type TestService } from "./service.ts";

export { callback };

type ClientMembers = { name?: string; redirectUris?: string[]; isFirstParty?: boolean; scopes?: string[] };

/** Stores a confidential client that acts for users. @returns its id */
export async function storeClient(service: TestService, members: ClientMembers = {}): Promise<string> {
  const defaults = { name: "Parcel tracker", scopes: ["openid", "profile", "account:read"] };
  return (await insertClient(service, { ...defaults, ...members })).id;
}

export type PageBrowser = {
  /** By name. */
  cookies: Map<string, string>;
  /** The value of its header. */
  cookieHeader(): string;
  open(target: string): Promise<Received>;
  /** Sends a form of a page of the service. */
  submit(target: string, form: Record<string, string>, headers?: Record<string, string>): Promise<Received>;
  /** Begins an authorization. Returns the sealed request. */
  begin(client: string, parameters?: Record<string, string>): Promise<string>;
  /** Signs in on the page. Returns the answer to the form. */
  signIn(authorization: string, username: string, secret?: string): Promise<Received>;
};

export function createPageBrowser({ send }: { send: Client }): PageBrowser {
  const jar = createCookieJar();
  const open = async (target: string) => jar.keep(await send("GET", target, { headers: jar.headers() }));
  const submit: PageBrowser["submit"] = async (target, form, headers = {}) => {
    const all = { ...jar.headers(), "sec-fetch-site": "same-origin", ...headers };
    return jar.keep(await send("POST", target, { form, headers: all }));
  };

  return {
    cookies: jar.cookies,
    cookieHeader: () => jar.headers().cookie ?? "",
    open,
    submit,
    async begin(client, parameters = {}) {
      const query = new URLSearchParams({
        client_id: client,
        response_type: "code",
        redirect_uri: callback,
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", // RFC 7636, appendix B
        code_challenge_method: "S256",
        state: "a state",
        ...parameters,
      });
      const answer = await open(`/oauth/authorize?${query}`);
      const authorization = new URL(answer.header("location") ?? "", "http://x").searchParams.get("authorization");
      if (authorization === null) throw new Error(`no interaction: ${answer.status} ${answer.header("location")}`);
      return authorization;
    },
    signIn: (authorization, username, secret = password) =>
      submit("/oauth/sign-in", { authorization, username, password: secret }),
  };
}
