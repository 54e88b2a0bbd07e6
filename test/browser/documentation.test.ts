/** The documentation in a browser, served by the service and by a static file host. */
import { stat } from "node:fs/promises";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { isPage, linkTo, operationsOf, readContract } from "../../scripts/docs/contract.ts";
import { readGuide } from "../../scripts/docs/guide.ts";
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { problems } from "../../src/problems/catalogue.ts";
import { serveFolder, startBrowser, visit } from "../support/browser.ts";
import { startTestService } from "../support/service.ts";
import { brokenWords } from "./brokenWords.ts";
import { faintTexts } from "./contrast.ts";

const contract = await readContract();
const chapters = (await readGuide(contract)).slice(1).map(({ name }) => `#/${name}`);
const operations = operationsOf(contract).map(({ operation }) => linkTo(operation));
const service = await startTestService();
const browser = await startBrowser();
const served = `${service.url}/docs`;
const folder = await serveFolder("dist/site", "/deep/below");

/** Search terms, and the section that must be among the first results. */
const searched = {
  login: "#/questions/sign-up-login-and-logout",
  logout: "#/questions/sign-up-login-and-logout",
  "log in": "#/sessions/createsession",
  "log out": "#/questions/sign-up-login-and-logout",
  "sign in": "#/sessions/createsession",
  "sign out": "#/sessions/endallsessions",
  "sign up": "#/questions/sign-up-login-and-logout",
  "forgot password": "#/questions/forgot-password",
  "reset password": "#/administration/reset-a-password",
  "change password": "#/users/changepassword",
  role: "#/questions/roles-and-permissions",
  permission: "#/questions/roles-and-permissions",
  "api key": "#/questions/api-keys",
  cors: "#/questions/cors",
  "rate limit": "#/passwords/rate-limits",
  lockout: "#/passwords/lockout",
  "brute force": "#/passwords/brute-force-and-floods",
  unlock: "#/administration/unlock-an-account",
  python: "#/protect-your-api/verify-a-token-in-python",
  javascript: "#/protect-your-api/verify-a-token-in-javascript",
  curl: "#/questions/python-go-javascript-and-curl",
  go: "#/questions/python-go-javascript-and-curl",
  typescript: "#/clients-and-tools/typescript-client",
  postman: "#/clients-and-tools/postman",
  docker: "#/deployment/docker",
  kubernetes: "#/deployment/kubernetes",
  nginx: "#/deployment/reverse-proxy-and-nginx",
  proxy: "#/deployment/reverse-proxy-and-nginx",
  tls: "#/deployment/tls-and-https",
  https: "#/deployment/tls-and-https",
  upgrade: "#/deployment/upgrade",
  scaling: "#/deployment/scaling",
  "high availability": "#/high-availability",
  postgres: "#/database",
  backup: "#/administration/backup-and-restore",
  restore: "#/administration/backup-and-restore",
  metrics: "#/monitoring/metrics-and-alerts",
  logging: "#/monitoring/logging",
  audit: "#/monitoring/audit-log",
  oauth: "#/questions/oauth",
  mfa: "#/questions/oauth",
  "2fa": "#/questions/oauth",
  "refresh token": "#/sessions/refreshtoken",
  session: "#/credentials/session",
  expire: "#/errors/token-expired",
  revoke: "#/tokens/revoketoken",
  jwt: "#/questions/jwt-refresh-and-revoke",
};

/** Navigates to a fragment of the page, and waits until its content is shown: Redoc renders an empty section first. */
async function goTo(page: Page, place: string): Promise<void> {
  await page.evaluate((hash) => location.assign(hash), place);
  await page
    .locator(`[data-section-id="${place.slice(1)}"]`)
    .locator("h1, h2, h3")
    .first()
    .waitFor();
}

describe.each([
  ["as it is served", served],
  ["as a folder below a path", `${folder}/`],
])("%s", (_, url) => {
  test("it loads nothing from other hosts, logs no errors, and works without a network", async () => {
    const { page, complaints, requests } = await visit(browser, url);
    await page.context().setOffline(true);
    for (const place of [...chapters, ...operations]) await goTo(page, place);
    expect(requests.filter((request) => !/^(data|blob):/.test(request))).toEqual([url]);
    expect(complaints).toEqual([]);
  });

  test("every link has a target", { timeout: 120_000 }, async () => {
    const { page } = await visit(browser, url);
    const links = new Set<string>();
    const places = new Set<string>();
    for (const place of ["#/", ...chapters, ...operations]) {
      await goTo(page, place);
      const found = await page.evaluate(() => ({
        links: [...document.querySelectorAll("a[href]")].map((link) => link.getAttribute("href") ?? ""),
        places: [...document.querySelectorAll("[data-section-id]")].map((part) => part.getAttribute("data-section-id")),
      }));
      for (const link of found.links) links.add(link);
      for (const id of found.places) places.add(`#${id}`);
    }
    // Redoc generates fragments within a section (`#/users/createuser#…`).
    const within = [...links].filter((link) => /^#[^#]+$/.test(link));
    expect(within.length).toBeGreaterThan(50);
    // A target may not be rendered yet.
    for (const link of within.filter((link) => !places.has(link))) await goTo(page, link);
    const beside = [...links].filter((link) => !link.startsWith("#") && !link.startsWith("https://"));
    expect(beside).toContain("openapi.yaml");
    for (const link of beside)
      expect((await page.request.get(new URL(link, page.url()).href)).status(), link).toBe(200);
  });

  test("the page of every problem links to the documentation", async () => {
    const page = await browser.newPage();
    for (const slug of Object.keys(problems)) {
      await page.goto(new URL(`problems/${slug}`, url).href);
      const back = await page
        .getByRole("link", { name: "All errors" })
        .evaluate((link: HTMLAnchorElement) => link.href);
      expect(back).toBe(`${url}#/errors`);
    }
    await page.close();
  });

  test.each([
    ["an operation", "sign out everywhere", "/sessions/endallsessions"],
    ["a chapter", "which credential", "/credentials"],
    ["an error", "revocations-stale", "/errors/revocations-stale"],
  ])("the search finds %s, by keyboard only", async (_what, words, place) => {
    const { page } = await visit(browser, url);
    await page.getByRole("button", { name: "Search" }).focus();
    await page.keyboard.press("Enter");
    await page.getByLabel("Search the guide and the reference").fill(words);
    await page.locator(`[role="dialog"] a[href^="#${place}"]`).first().waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp(`#${place}`));
  });
});

test("the search finds sections by common synonyms, and by the names of features that do not exist", {
  timeout: 120_000,
}, async () => {
  const { page } = await visit(browser, served);
  await page.getByRole("button", { name: "Search" }).first().click();
  const field = page.getByLabel("Search the guide and the reference");
  for (const [words, place] of Object.entries(searched)) {
    // The previous results would still be shown at first.
    await field.fill("");
    await field.fill(words);
    // The results that are visible without scrolling.
    const first = page.locator('[role="dialog"] a[href^="#"]:nth-of-type(-n+4)');
    await first
      .and(page.locator(`[href^="${place}"]`))
      .first()
      .waitFor()
      .catch(async () => {
        const found = await page
          .locator('[role="dialog"] a[href^="#"]')
          .evaluateAll((all) => all.map((one) => one.getAttribute("href")));
        throw new Error(`${words} finds ${found.slice(0, 5).join(", ") || "nothing"}`);
      });
  }
});

test.each([
  ["with the clipboard", served, true],
  ["without one, as on a page that has no TLS", served, false],
  ["in a copy elsewhere", `${folder}/`, true],
])("the guide's code can be copied by keyboard, offline: %s", async (_, url, hasClipboard) => {
  const { page, complaints } = await visit(browser, url, { permissions: ["clipboard-read", "clipboard-write"] });
  await goTo(page, "#/first-call");
  await page.context().setOffline(true);
  if (!hasClipboard) await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  const code = await page.locator('[data-section-id="/first-call"] pre').first().textContent();
  const button = page.locator('[data-section-id="/first-call"] .copy').first();
  await button.press("Enter");
  await page
    .getByRole("status")
    .filter({ hasText: /^Copied$/ })
    .waitFor({ state: "attached" });
  await button.filter({ hasText: "Copied" }).waitFor();
  await page.locator("body").evaluate((body) => {
    const field = document.createElement("textarea");
    body.append(field);
    field.focus();
  });
  await page.keyboard.press("Control+V");
  const pasted = await page.locator("body > textarea").inputValue();
  expect(pasted.trimEnd()).toBe(code?.trimEnd());
  expect(pasted).toMatch(/^curl -X POST/);
  await button.filter({ hasText: /^Copy$/ }).waitFor();
  expect(complaints).toEqual([]);
});

test("each code block of the guide has one copy button, with a name, that covers no code", async () => {
  const { page } = await visit(browser, served);
  const withoutButton = () =>
    page
      .locator('[data-component-name="Markdown/Markdown"] pre')
      .evaluateAll((all) => all.filter((code) => !code.previousElementSibling?.matches("button.copy")).length);
  for (const chapter of chapters) {
    await goTo(page, chapter);
    expect(await withoutButton(), chapter).toBe(0);
  }
  await goTo(page, "#/first-call");
  const first = page.locator('[data-section-id="/first-call"]');
  expect(await first.getByRole("button", { name: "Copy the code" }).count()).toBe(await first.locator("pre").count());
  // Both at once, because the page may still scroll.
  const { height, distance } = await first
    .locator("pre")
    .first()
    .evaluate((code) => {
      const range = document.createRange();
      range.selectNodeContents(code);
      const button = code.previousElementSibling?.getBoundingClientRect();
      return { height: button?.height, distance: range.getBoundingClientRect().top - (button?.bottom ?? Number.NaN) };
    });
  expect(height).toBeGreaterThanOrEqual(24);
  expect(distance).toBeGreaterThanOrEqual(0);
});

test.each([
  ["where it is served", served, service.url],
  ["from a copy elsewhere, which does not know where", `${folder}/`, sampleOrigin],
])("its guide and its samples contain the origin of the service: %s", async (_, url, origin) => {
  const { page, complaints } = await visit(browser, url);
  await goTo(page, "#/first-call");
  await page.getByText(`The examples use a service at ${origin}`).waitFor();
  await goTo(page, "#/resource/getresource");
  await page.getByText(`${origin}/api/resource`).first().waitFor();
  expect(complaints).toEqual([]);
});

test("a browser that has cached it receives a 304, and the page works", async () => {
  const { page, complaints } = await visit(browser, served);
  const { length } = service.log;
  await page.reload();
  await page.getByText("Search Ctrl+K").waitFor({ state: "attached" });
  await goTo(page, "#/first-call");
  const responses = service.log.slice(length).flatMap((line) => JSON.parse(line).res ?? []);
  expect(responses).toMatchObject([{ status: 304 }]);
  expect(complaints).toEqual([]);
});

test("its landmarks, headings, images and fields have names", async () => {
  const { page } = await visit(browser, served);
  expect(await page.locator("html").getAttribute("lang")).toBe("en");
  expect(await page.title()).toBe("Latchkey");
  expect(await page.getByRole("main").count()).toBe(1);
  expect(await page.getByRole("navigation", { name: "Contents" }).count()).toBe(1);
  expect(await page.getByRole("heading", { level: 1 }).count()).toBe(1);
  for (const chapter of chapters) {
    await goTo(page, chapter);
    const levels = await page
      .locator("h1, h2, h3, h4")
      .evaluateAll((all) => all.map(({ tagName }) => Number(tagName[1])));
    for (const [index, level] of levels.entries()) expect(level - (levels[index - 1] ?? level)).toBeLessThan(2);
    // Redoc replaces what it has rendered, so a diagram can be in the page before it has a size.
    const faultyPictures = () =>
      page.locator("svg.diagram").evaluateAll((all) =>
        all
          .map((picture) => ({
            label: picture.getAttribute("aria-label") ?? "",
            width: picture.getBoundingClientRect().width,
          }))
          .filter(({ label, width }) => label.length <= 100 || width <= 300),
      );
    await expect.poll(faultyPictures, { timeout: 10_000 }).toEqual([]);
  }
});

test("the content, the search and the table of contents can be reached by keyboard, with a visible focus", async () => {
  const { page } = await visit(browser, served);
  const focused = () =>
    page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement ?? document.body);
      return { name: document.activeElement?.textContent, outline: `${outlineStyle} ${outlineWidth}` };
    });
  for (const name of [/^Skip/, /^Search/, /^Latchkey/, /^First call/]) {
    await page.keyboard.press("Tab");
    expect(await focused()).toEqual({ name: expect.stringMatching(name), outline: "solid 2px" });
  }
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/first-call$/);
  await page.getByRole("button", { name: "Skip to the content" }).focus();
  await page.keyboard.press("Enter");
  expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("MAIN");
});

test("every operation has a sample in each language", { timeout: 120_000 }, async () => {
  const { page } = await visit(browser, served);
  for (const { path, operation } of operationsOf(contract)) {
    if (isPage(contract, operation)) continue; // a browser sends it
    await goTo(page, linkTo(operation));
    const part = page.locator(`[data-section-id="${linkTo(operation).slice(1)}"]`).first();
    await part.getByRole("button", { name: "curl" }).click();
    await expect
      .poll(async () => (await page.getByRole("menuitem").allInnerTexts()).slice(0, 4), {
        message: operation.operationId,
      })
      .toEqual(["curl", "JavaScript", "Python", "Go"]);
    await page.getByRole("menuitem", { name: "curl" }).click();
    expect(await part.innerText()).toContain(path.split("{")[0]);
  }
});

test.each([360, 390])(
  "on a phone of %d pixels no word of a table or a heading is broken",
  { timeout: 120_000 },
  async (width) => {
    const { page } = await visit(browser, served, { viewport: { width, height: 760 } });
    for (const place of ["#/", ...chapters, "#/users/changepassword", "#/sessions/listsessions"]) {
      await goTo(page, place);
      expect(await page.evaluate(brokenWords, "th, td, h1, h2, h3, h4, button"), place).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth), place).toBe(width);
    }
  },
);

test("nothing is wider than a phone, and the menu opens and navigates", async () => {
  const { page } = await visit(browser, served, { viewport: { width: 360, height: 760 }, hasTouch: true });
  for (const place of ["#/", ...chapters, "#/users/changepassword", "#/sessions/listsessions"]) {
    await goTo(page, place);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), place).toBe(360);
  }
  await page.getByRole("button", { name: "Contents" }).tap();
  await page.getByRole("navigation").getByRole("link", { name: "First call" }).tap();
  await page.waitForURL(/#\/first-call$/);
});

describe.each(["light", "dark"] as const)("where the system prefers %s", (colorScheme) => {
  test("the page uses that colour scheme, and every text has enough contrast", { timeout: 120_000 }, async () => {
    const { page } = await visit(browser, served, { colorScheme });
    const background = await page.evaluate(
      () => getComputedStyle(document.querySelector("main") ?? document.body).color,
    );
    const brightness = (background.match(/\d+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
    expect(brightness > 384).toBe(colorScheme === "dark");
    for (const place of ["#/", ...chapters, "#/sessions/listsessions"]) {
      await goTo(page, place);
      expect(await page.evaluate(faintTexts), place).toEqual([]);
    }
    let shown = "curl";
    await goTo(page, "#/users/changepassword");
    const part = page.locator('[data-section-id="/users/changepassword"]').first();
    for (const language of ["JavaScript", "Python", "Go"]) {
      // Not the first button of the page: the menu of another operation may open outside of the window.
      await part.getByRole("button", { name: shown, exact: true }).click();
      await page.getByRole("menuitem", { name: language }).click();
      await page.getByRole("button", { name: language, exact: true }).first().waitFor();
      expect(await page.evaluate(faintTexts), language).toEqual([]);
      shown = language;
    }
    await page.goto(`${service.url}/problems/token-expired`);
    expect(await page.evaluate(faintTexts)).toEqual([]);
  });
});

test("the page is not much larger than Redoc itself", async () => {
  expect((await stat("dist/docs.html")).size).toBeLessThan(3_300_000);
});
