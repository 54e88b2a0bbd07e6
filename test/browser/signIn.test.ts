/** The pages for sign-in, registration, consent, devices and sign-out, in Chromium with JavaScript disabled. */

import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import type { BrowserContextOptions, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { startBrowser } from "../support/browser.ts";
import { deviceCodeGrant, insertClient } from "../support/clientRows.ts";
import { storeClient } from "../support/pageBrowser.ts";
import { listen } from "../support/ports.ts";
import { password, startTestService } from "../support/service.ts";
import { faintTexts } from "./contrast.ts";

const service = await startTestService({
  PAGES_REGISTRATION: "on",
  PAGES_NAME: "Acme <Accounts>",
  PAGES_COLOR: "#7c3aed",
});
const browser = await startBrowser();

/** The application: a server of another origin, which receives codes. */
/** The form of its page. */
let form = "";
const application = createServer((request, response) => {
  response
    .writeHead(200, { "Content-Type": "text/html" })
    .end(`<title>The application</title><p>${request.method}</p>${form}`);
});
const port = await listen(application);
const redirectUri = `http://127.0.0.1:${port}/callback`;
const client = await storeClient(service, { redirectUris: [redirectUri] });

/** The folder for screenshots, for people who look at them. */
const screenshots = process.env["SCREENSHOTS"];
if (screenshots) mkdirSync(screenshots, { recursive: true });

type Look = "light" | "dark" | "phone";
const looks: Record<Look, BrowserContextOptions> = {
  light: { colorScheme: "light", viewport: { width: 1200, height: 900 } },
  dark: { colorScheme: "dark", viewport: { width: 1200, height: 900 } },
  phone: { colorScheme: "light", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 },
};

async function openBrowser(look: Look = "light"): Promise<Page & { complaints: string[] }> {
  const context = await browser.newContext({ javaScriptEnabled: false, ...looks[look] });
  afterTest(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["warning", "error"].includes(message.type())) complaints.push(message.text());
  });
  return Object.assign(page, { complaints });
}

const authorizationUrl = (parameters: Record<string, string> = {}, id = client) =>
  `${service.url}/oauth/authorize?${new URLSearchParams({
    client_id: id,
    response_type: "code",
    redirect_uri: redirectUri,
    code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    code_challenge_method: "S256",
    state: "a state",
    ...parameters,
  })}`;

async function fillIn(page: Page, username: string, secret = password): Promise<void> {
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill(secret);
}

async function press(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name, exact: true }).click();
  await page.waitForLoadState();
}
const shoot = async (page: Page, name: string) => {
  if (screenshots) await page.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
};
const resultOf = (page: Page) => Object.fromEntries(new URL(page.url()).searchParams);

test("a user signs in, allows a client, and returns to it with a code", async () => {
  const { username } = await service.register();
  const page = await openBrowser();
  await page.goto(authorizationUrl());
  await expect(page.title()).resolves.toBe("Sign in · Acme <Accounts>");
  await fillIn(page, username, "a wrong password");
  await press(page, "Sign in");
  await expect.poll(() => page.title(), { timeout: 10_000 }).toBe("Error: Sign in · Acme <Accounts>");
  await expect(page.getByRole("alert").textContent()).resolves.toBe("The username or password is wrong.");
  await expect(page.getByLabel("Username").inputValue()).resolves.toBe(username);
  await page.getByLabel("Password").fill(password);
  await press(page, "Sign in");
  await expect(page.getByRole("heading", { level: 1 }).textContent()).resolves.toBe("Allow Parcel tracker?");
  await expect(page.getByRole("listitem").allTextContents()).resolves.toEqual([
    "See who you are.",
    "See your username.",
    "See your own sessions, API keys and grants.",
  ]);
  await press(page, "Allow");
  await page.waitForURL(`${redirectUri}?**`);
  expect(resultOf(page)).toEqual({
    code: expect.stringMatching(/^[\w-]{43}$/),
    state: "a state",
    iss: expect.any(String),
  });
  await expect(page.textContent("p")).resolves.toBe("GET");
  expect(page.complaints).toEqual([expect.stringContaining("400 (Bad Request)")]);

  // The user is still signed in, and has allowed the client.
  await page.goto(authorizationUrl());
  await page.waitForURL(`${redirectUri}?code=**`);
  await page.goto(authorizationUrl({ prompt: "login" }));
  await expect(page.title()).resolves.toBe("Sign in · Acme <Accounts>");
});

test("a user denies a client, as another user than the one who was signed in", async () => {
  const [one, other] = [await service.register(), await service.register()];
  const page = await openBrowser();
  await page.goto(authorizationUrl());
  await fillIn(page, one.username);
  await page.keyboard.press("Enter");
  await page.getByText(`Signed in as ${one.username}.`).waitFor();
  await page.getByRole("link", { name: "Use another account" }).click();
  await fillIn(page, other.username);
  await press(page, "Sign in");
  await page.getByText(`Signed in as ${other.username}.`).waitFor();
  await press(page, "Deny");
  await page.waitForURL(`${redirectUri}?**`);
  expect(resultOf(page)).toMatchObject({ error: "access_denied", state: "a state" });
  const sessions = await service.send("GET", "/api/sessions", { basic: [one.username, password] });
  expect(sessions.json.sessions).toEqual([]);
});

const device = await insertClient(service, { name: "Television", authentication: "none" });
/** Begins as the device does. */
async function startDevice(): Promise<{ device_code: string; user_code: string; verification_uri: string }> {
  const form = { client_id: device.id, scope: "openid account:read" };
  return (await service.send("POST", "/oauth/device-authorization", { form })).json;
}

test("a user enters the code of a device, signs in, and connects it", async () => {
  const { username } = await service.register();
  const { device_code, user_code, verification_uri } = await startDevice();
  const page = await openBrowser();
  await page.goto(service.url + new URL(verification_uri).pathname);
  await fillIn(page, username);
  await press(page, "Sign in");
  await page.getByLabel("Code").fill("BBBB-BBBB");
  await press(page, "Continue");
  await expect(page.getByRole("alert").textContent()).resolves.toBe("This code is wrong or has expired.");
  await page.getByLabel("Code").fill(user_code.toLowerCase().replace("-", " "));
  await press(page, "Continue");
  await expect(page.getByRole("heading", { level: 1 }).textContent()).resolves.toBe("Connect Television?");
  await page.getByText(user_code).waitFor();
  await press(page, "Connect");
  await page.getByText("The device is connected").waitFor();
  const form = { grant_type: deviceCodeGrant, device_code, client_id: device.id };
  expect((await service.send("POST", "/oauth/token", { form })).status).toBe(200);
  expect(page.complaints).toEqual([expect.stringContaining("400 (Bad Request)")]);
});

test("a person registers on the page, and corrects what is not accepted", async () => {
  const taken = await service.register();
  const page = await openBrowser();
  await page.goto(authorizationUrl());
  await page.getByRole("link", { name: "Create an account" }).click();
  await fillIn(page, taken.username);
  await press(page, "Create account");
  await expect(page.getByRole("alert").textContent()).resolves.toBe("This username is taken. Choose another one.");
  await fillIn(page, "newcomer", "short");
  await press(page, "Create account");
  await expect(page.getByRole("alert").textContent()).resolves.toContain("at least 15");
  await shoot(page, "sign-up-error");
  await page.getByLabel("Password").fill(password);
  await press(page, "Create account");
  await page.getByText("Signed in as newcomer.").waitFor();
  await press(page, "Allow");
  await page.waitForURL(`${redirectUri}?code=**`);
});

test("a first-party client gets its code right after the sign-in", async () => {
  const { username } = await service.register();
  const own = await storeClient(service, { redirectUris: [redirectUri], isFirstParty: true });
  const page = await openBrowser();
  await page.goto(authorizationUrl({}, own));
  await fillIn(page, username);
  await press(page, "Sign in");
  await page.waitForURL(`${redirectUri}?code=**`);
  expect(page.complaints).toEqual([]);
});

test("a user signs out of the browser", async () => {
  const { username } = await service.register();
  const page = await openBrowser();
  await page.goto(authorizationUrl());
  await fillIn(page, username);
  await press(page, "Sign in");
  await page.getByText(`Signed in as ${username}.`).waitFor();
  await page.goto(`${service.url}/oauth/sign-out`);
  await page.getByText(`You are signed in as ${username}.`).waitFor();
  await press(page, "Sign out");
  await expect(page.getByRole("heading", { level: 1 }).textContent()).resolves.toBe("You are signed out");
  const cookies = await page.context().cookies();
  expect(cookies.map(({ name }) => name)).toEqual(["__Host-latchkey-browser"]);
  await page.goto(authorizationUrl());
  await expect(page.title()).resolves.toBe("Sign in · Acme <Accounts>");
});

test("an application of another site sends a user to sign out with a form", async () => {
  const signedOut = `http://127.0.0.1:${port}/signed-out`;
  const { id } = await insertClient(service, { postLogoutRedirectUris: [signedOut] });
  const { username } = await service.register();
  const page = await openBrowser();
  await page.goto(authorizationUrl());
  await fillIn(page, username);
  await press(page, "Sign in");
  await page.getByText(`Signed in as ${username}.`).waitFor();
  form = `<form method="post" action="${service.url}/oauth/sign-out"><input name="client_id" value="${id}">
    <input name="post_logout_redirect_uri" value="${signedOut}"><input name="state" value="a state"><button>Leave</button></form>`;
  await page.goto(`http://localhost:${port}/`);
  await press(page, "Leave");
  await page.getByText(`You are signed in as ${username}.`).waitFor();
  await press(page, "Sign out");
  await page.waitForURL(`${signedOut}?state=a%20state`);
  const cookies = await page.context().cookies();
  expect(cookies.map(({ name }) => name)).toEqual(["__Host-latchkey-browser"]);
  expect(page.complaints).toEqual([]);
  form = "";
});

test("the cookies can be read by no script and are sent over no plain HTTP, except on this machine", async () => {
  const { username } = await service.register();
  const page = await openBrowser();
  await page.goto(authorizationUrl());
  await fillIn(page, username);
  await press(page, "Sign in");
  await page.getByText(`Signed in as ${username}.`).waitFor();
  const cookies = await page.context().cookies();
  expect(cookies.map(({ name }) => name).sort()).toEqual(["__Host-latchkey", "__Host-latchkey-browser"]);
  for (const cookie of cookies) {
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: "Lax", path: "/", domain: "127.0.0.1" });
  }
});

describe.each<Look>(["light", "dark", "phone"])("%s", (look) => {
  test("every text has enough contrast, every field has a label, and nothing is cut off", {
    timeout: 120_000,
  }, async () => {
    const { username } = await service.register();
    const page = await openBrowser(look);
    const seen = async (name: string) => {
      await shoot(page, `${name}-${look}`);
      expect(await page.evaluate(faintTexts), name).toEqual([]);
      const unlabelled = await page.evaluate(() =>
        [...document.querySelectorAll("input:not([type=hidden])")]
          .filter((input) => (input as HTMLInputElement).labels?.length !== 1)
          .map(({ id }) => id),
      );
      expect(unlabelled, name).toEqual([]);
      const isTooWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      expect(isTooWide, name).toBe(false);
      expect(await page.evaluate(() => document.documentElement.lang)).toBe("en");
    };
    await page.goto(authorizationUrl());
    await seen("sign-in");
    const colour = () => getComputedStyle(document.querySelector("button") as Element).backgroundColor;
    expect(await page.evaluate(colour)).toBe("rgb(124, 58, 237)"); // PAGES_COLOR
    const focused = () => page.evaluate(() => document.activeElement?.id);
    await expect.poll(focused, { timeout: 10_000 }).toBe("username");
    await fillIn(page, username, "a wrong password");
    await press(page, "Sign in");
    await seen("sign-in-error");
    await expect.poll(focused, { timeout: 10_000 }).toBe("password");
    await expect(page.getByLabel("Password").getAttribute("aria-describedby")).resolves.toBe("error");
    await page.getByRole("link", { name: "Create an account" }).click();
    await page.getByRole("heading", { name: "Create an account" }).waitFor();
    await seen("sign-up");
    await page.goto(authorizationUrl());
    await fillIn(page, username);
    await press(page, "Sign in");
    await page.getByText(`Signed in as ${username}.`).waitFor();
    await seen("consent");
    const { user_code } = await startDevice();
    await page.goto(`${service.url}/oauth/device`);
    await seen("device");
    await page.getByLabel("Code").fill(user_code);
    await press(page, "Continue");
    await page.getByText(user_code).waitFor();
    await seen("device-confirm");
    await press(page, "Cancel");
    await seen("device-cancelled");
    await page.goto(`${service.url}/oauth/sign-out`);
    await seen("sign-out");
    await press(page, "Sign out");
    await seen("signed-out");
    await page.goto(`${service.url}/oauth/sign-in?authorization=a..b.c.d`);
    await seen("error");
  });
});
