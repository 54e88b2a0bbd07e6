/** A browser without scripts: it keeps cookies, and sends forms as Chromium does. Every answer is validated. */
import { randomBytes } from "node:crypto";
import type { Client, Received } from "./client.ts";
import { password, type TestService } from "./service.ts";

export const callback = "https://app.example/callback";

type ClientMembers = { name?: string; redirectUris?: string[]; isFirstParty?: boolean; scopes?: string[] };

/** Stores a confidential client that acts for users. Returns its id. */
export async function storeClient(service: TestService, members: ClientMembers = {}): Promise<string> {
  const { name = "Parcel tracker", redirectUris = [callback], isFirstParty = false } = members;
  const { scopes = ["openid", "profile", "account:read"] } = members;
  const id = `lkc_${randomBytes(16).toString("hex")}`;
  await service.sql(
    `INSERT INTO clients (id, name, authentication, grant_types, redirect_uris, scopes, is_first_party)
     VALUES ($1, $2, 'client_secret', '{authorization_code,refresh_token}', $3, $4, $5)`,
    [id, name, redirectUris, scopes, isFirstParty],
  );
  return id;
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
  const cookies = new Map<string, string>();
  const cookieHeader = () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  const kept = (answer: Received): Received => {
    for (const line of answer.headers["set-cookie"] ?? []) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (/; Max-Age=0/.test(line)) cookies.delete(name);
      else cookies.set(name, value);
    }
    return answer;
  };
  const open = async (target: string) => kept(await send("GET", target, { headers: { cookie: cookieHeader() } }));
  const submit: PageBrowser["submit"] = async (target, form, headers = {}) =>
    kept(
      await send("POST", target, {
        form,
        headers: { cookie: cookieHeader(), "sec-fetch-site": "same-origin", ...headers },
      }),
    );

  return {
    cookies,
    cookieHeader,
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
