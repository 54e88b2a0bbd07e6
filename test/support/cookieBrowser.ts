/** A browser without a screen: it keeps cookies, follows redirects within the service, and fills in forms of pages. */
import type { Received } from "./client.ts";
import { createCookieJar } from "./cookieJar.ts";
import { password, type TestService } from "./service.ts";

export type CookieBrowser = ReturnType<typeof openBrowser>;
/** Where a chain of redirects ends: at a page of the service, or at a URL of another service, which is not requested. */
export type Arrival = { page: Received; target: string; url?: never } | { url: URL; page?: never; target?: never };

const maxRedirects = 10;

/** @param issuer the beginning of the absolute URLs of the service's own pages */
export function openBrowser(service: Pick<TestService, "send">, issuer = "http://127.0.0.1:8080") {
  const jar = createCookieJar();

  const request = async (method: string, target: string, form?: Record<string, string>): Promise<Received> =>
    jar.keep(await service.send(method, target, { headers: jar.headers(), ...(form && { form }) }));

  /** Requests a target, and follows redirects up to a page, or up to another service. */
  async function go(method: string, target: string, form?: Record<string, string>): Promise<Arrival> {
    let at = new URL(target, issuer);
    let answer = await request(method, at.pathname + at.search, form);
    for (let count = 0; count < maxRedirects; count += 1) {
      if (answer.status !== 303) return { page: answer, target: at.pathname + at.search };
      const next = new URL(answer.header("location") ?? "", at);
      if (next.origin !== new URL(issuer).origin) return { url: next };
      at = next;
      answer = await request("GET", at.pathname + at.search);
    }
    throw new Error(`more than ${maxRedirects} redirects`);
  }

  /** Submits the form of a page. @param values of its visible fields, and of the button */
  async function submit(arrival: Arrival, values: Record<string, string>): Promise<Arrival> {
    const { page, target } = pageOf(arrival);
    const action = /<form method="post" action="([^"]*)"/.exec(page.text)?.[1];
    if (action === undefined) throw new Error(`no form at ${target}: ${page.status} ${page.text.slice(0, 2_000)}`);
    const hidden = [...page.text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)];
    const form = Object.fromEntries(hidden.map(([, name = "", value = ""]) => [name, unescaped(value)]));
    return go("POST", new URL(action, new URL(target, issuer)).pathname, { ...form, ...values });
  }

  return {
    cookies: jar.cookies,
    request,
    go,
    submit,
    /** Signs in on the page where the browser is. */
    signIn: (arrival: Arrival, username: string) => submit(arrival, { username, password }),
    allow: (arrival: Arrival) => submit(arrival, { decision: "allow" }),
  };
}

export function pageOf(arrival: Arrival): { page: Received; target: string } {
  if (arrival.page) return arrival;
  throw new Error(`the browser is at ${arrival.url}`);
}

export function urlOf(arrival: Arrival): URL {
  if (arrival.url) return arrival.url;
  throw new Error(`the browser is at ${arrival.target}: ${arrival.page.status} ${arrival.page.text.slice(0, 2_000)}`);
}

const unescaped = (text: string): string =>
  text.replace(/&(lt|gt|quot|#39|amp);/g, (_, name: string) => references[name] ?? "");
const references: Record<string, string> = { lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" };
