/** The credentials of browsers: their login dialog does not open unexpectedly, and cached credentials do no harm. */
import { build } from "esbuild";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { startBrowser, visit } from "../support/browser.ts";
import { serve } from "../support/clients.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const browser = await startBrowser();

/** Opens a page in a new window. */
async function open(url: string): Promise<Page> {
  const context = await browser.newContext();
  afterTest(() => context.close());
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

type Asked = { target: string; authorization: string | undefined };

/** Sends a request from a page. Returns the status, or `undefined` if there is no response within 5 s. */
const ask = (page: Page, how: "fetch" | "XMLHttpRequest", asked: Asked) =>
  page.evaluate(
    ([how, { target, authorization }]) => {
      const answer = new Promise<number>((resolve, reject) => {
        if (how === "fetch") {
          fetch(target, { headers: authorization ? { authorization } : {} }).then(
            ({ status }) => resolve(status),
            reject,
          );
        } else {
          const request = new XMLHttpRequest();
          request.open("GET", target);
          if (authorization) request.setRequestHeader("Authorization", authorization);
          request.onload = () => resolve(request.status);
          request.onerror = reject;
          request.send();
        }
      });
      const tooLong = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 5_000));
      return Promise.race([answer, tooLong]);
    },
    [how, asked] as const,
  );

/** Answers every request except that for the page with the Basic challenge, as other services do. */
const challenging = () =>
  serve((request, response) => {
    if (request.url === "/")
      return response.writeHead(200, { "Content-Type": "text/html" }).end("<title>A page</title>");
    const body = {
      type: "/problems/authentication-required",
      title: "Credentials",
      status: 401,
      instance: "urn:uuid:0",
    };
    const headers = { "Content-Type": "application/problem+json", "WWW-Authenticate": 'Basic realm="latchkey"' };
    return response.writeHead(401, headers).end(JSON.stringify(body));
  });

const { outputFiles } = await build({
  entryPoints: ["packages/client/src/index.ts"],
  bundle: true,
  format: "iife",
  globalName: "latchkey",
  footer: { js: "globalThis.latchkey = latchkey;" },
  write: false,
});

/** Runs a script in a page that has the TypeScript client. */
async function run(page: Page, script: string): Promise<unknown> {
  await page.evaluate(outputFiles[0]?.text ?? "");
  return page.evaluate(script);
}

describe("the login dialog of the browser", () => {
  describe.each(["fetch", "XMLHttpRequest"] as const)(
    "does not cover the service's own page where it asks by %s",
    (how) => {
      test.each<[string, string, string | undefined]>([
        ["token or password", "/api/resource", undefined],
        ["the password itself", "/api/token", undefined],
        ["token or password, with a wrong password", "/api/resource", `Basic ${btoa("nobody:wrong password")}`],
        ["the password itself, with a wrong one", "/api/token", `Basic ${btoa("nobody:wrong password")}`],
        ["token or password, with a wrong token", "/api/resource", "Bearer x.y.z"],
        ["the password itself, with a token", "/api/token", "Bearer x.y.z"],
      ])("for %s", async (_what, target, authorization) => {
        const { page } = await visit(browser, `${service.url}/docs`);
        expect(await ask(page, how, { target, authorization })).toBe(401);
        expect(await ask(page, how, { target: "/livez", authorization: undefined })).toBe(200);
      });
    },
  );

  test("would open for the Basic challenge, and then no promise settles", async () => {
    const page = await open(await challenging());
    expect(await ask(page, "fetch", { target: "/api/resource", authorization: undefined })).toBeUndefined();
  });

  test.each(["img", "script", "iframe"] as const)("does not open for a request of an %s", async (name) => {
    // The content security policy of the service's own pages forbids these elements.
    const { page } = await visit(browser, `${service.url}/docs`, { bypassCSP: true });
    const settled = page.evaluate((name) => {
      const element = document.createElement(name);
      const answer = new Promise((resolve) => {
        for (const event of ["load", "error"]) element.addEventListener(event, () => resolve(event));
      });
      const tooLong = new Promise((resolve) => setTimeout(() => resolve("no answer"), 5_000));
      element.src = "/api/token";
      document.body.append(element);
      return Promise.race([answer, tooLong]);
    }, name);
    expect(await settled).toMatch(/load|error/);
  });

  test("opens for a person who visits the URL", async () => {
    const context = await browser.newContext({ httpCredentials: { username, password } });
    afterTest(() => context.close());
    const page = await context.newPage();
    const answer = await page.goto(`${service.url}/api/resource`); // with the credentials of the dialog
    expect(answer?.status()).toBe(200);
  });
});

describe("the TypeScript client", () => {
  test("opens no dialog, even if the service sends the Basic challenge", async () => {
    const page = await open(await challenging());
    const script = `latchkey.createLatchkeyClient({ baseUrl: "" }).GET("/api/resource").then(({ error }) => error.type)`;
    expect(await run(page, script)).toBe("/problems/authentication-required");
  });

  test("signs in on a page of the service, with a relative base URL", async () => {
    const { page } = await visit(browser, `${service.url}/docs`);
    const script = `(async () => {
      const client = latchkey.createLatchkeyClient({ baseUrl: "", storage: localStorage });
      await client.signIn(${JSON.stringify(username)}, ${JSON.stringify(password)});
      return (await client.GET("/api/resource")).data;
    })()`;
    expect(await run(page, script)).toEqual({ data: `Hello, ${username}!` });
  });

  test("does not follow a redirect, and reports it", async () => {
    const got: (string | undefined)[] = [];
    const elsewhere = await serve(({ url, headers }, response) => {
      if (url === "/api/sessions") got.push(headers.authorization);
      const allowed = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*, Authorization" };
      response.writeHead(200, { ...allowed, "Content-Type": "application/json" }).end("{}");
    });
    const redirecting = await serve(({ url }, response) => {
      if (url === "/") return response.writeHead(200, { "Content-Type": "text/html" }).end("<title>A page</title>");
      return response.writeHead(307, { Location: elsewhere + url }).end();
    });
    const page = await open(redirecting);
    const script = `latchkey.createLatchkeyClient({ baseUrl: "" }).signIn("miguel", "secret").catch(({ name }) => name)`;
    expect(await run(page, script)).toBe("RedirectError");
    expect(got).toEqual([]);
  });
});

describe("credentials that the browser has cached", () => {
  /** A page of another origin with a form that creates a session. */
  const formTo = (url: string, headers: Record<string, string> = {}) =>
    serve((_request, response) => {
      const page = `<form method="post" action="${url}/api/sessions"><button>A prize</button></form>`;
      response.writeHead(200, { "Content-Type": "text/html", ...headers }).end(page);
    });

  /** Opens the page in a browser that has cached the user's credentials, and submits its form. */
  async function sendForm(target: typeof service, url: string) {
    const page = await open(
      `${target.url.replace("//", `//${username}:${encodeURIComponent(password)}@`)}/api/resource`,
    );
    expect((await page.goto(`${target.url}/api/resource`))?.status()).toBe(200);
    await page.goto(url);
    const answered = page.waitForResponse(`${target.url}/api/sessions`);
    await page.getByRole("button").click();
    const answer = await answered;
    const { authorization } = await answer.request().allHeaders();
    return { status: answer.status(), hasCredentials: authorization !== undefined };
  }

  const sessions = async () => (await service.sql("SELECT id FROM sessions")).length;

  test.each<[string, string, Record<string, string>]>([
    ["another site", "localhost", {}],
    ["another site that sends no referrer", "localhost", { "Referrer-Policy": "no-referrer" }],
    ["another port", "127.0.0.1", {}],
    ["another port that sends no referrer", "127.0.0.1", { "Referrer-Policy": "no-referrer" }],
  ])("create no session for a form of %s", async (_name, host, headers) => {
    const before = await sessions();
    const { port } = new URL(await formTo(service.url, headers));
    expect(await sendForm(service, `http://${host}:${port}/`)).toEqual({ status: 403, hasCredentials: true });
    expect(await sessions()).toBe(before);
  });

  test("create no session for a form if CORS_ORIGINS is *", async () => {
    const everyone = await startTestService({ CORS_ORIGINS: "*" }, service.databaseUrl);
    const { port } = new URL(await formTo(everyone.url));
    expect(await sendForm(everyone, `http://localhost:${port}/`)).toEqual({ status: 403, hasCredentials: true });
  });

  test("create a session for a page in CORS_ORIGINS", async () => {
    let action = "";
    const { port } = new URL(
      await serve((_request, response) => {
        response.writeHead(200, { "Content-Type": "text/html" });
        response.end(`<form method="post" action="${action}/api/sessions"><button>Sign in</button></form>`);
      }),
    );
    const origin = `http://localhost:${port}`;
    const trusting = await startTestService({ CORS_ORIGINS: origin }, service.databaseUrl);
    action = trusting.url;
    expect(await sendForm(trusting, `${origin}/`)).toEqual({ status: 201, hasCredentials: true });
  });

  test("a script of another origin signs in with the client if CORS_ORIGINS is *", async () => {
    const everyone = await startTestService({ CORS_ORIGINS: "*" }, service.databaseUrl);
    const page = await open(await formTo(everyone.url));
    const script = `(async () => {
      const client = latchkey.createLatchkeyClient({ baseUrl: ${JSON.stringify(everyone.url)} });
      const { error } = await client.signIn(${JSON.stringify(username)}, ${JSON.stringify(password)});
      return error ?? (await client.GET("/api/resource")).data;
    })()`;
    expect(await run(page, script)).toEqual({ data: `Hello, ${username}!` });
  });
});
