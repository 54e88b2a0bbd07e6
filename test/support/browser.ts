/** A real browser, which records the console messages and requests of a page. */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll } from "vitest";
import { afterTest } from "./afterTest.ts";
import { listen } from "./ports.ts";

export type Visit = {
  page: Page;
  /** Warnings and errors of the console, and uncaught exceptions. */
  complaints: string[];
  /** The requested URLs. */
  requests: string[];
};

/** Starts a browser for all tests of the file. */
export async function startBrowser(): Promise<Browser> {
  // Chromium's sandbox does not work for root, nor in many containers. The pages are our own.
  const browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? onPath("chromium"),
    args: ["--no-sandbox"],
  });
  afterAll(() => browser.close());
  return browser;
}

const onPath = (tool: string) => execFileSync("which", [tool], { encoding: "utf8" }).trim();

/** Opens a page in a new window, which is closed after the test. */
export async function visit(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
  afterTest(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => {
    if (["warning", "error"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url);
  await page.getByText("Search Ctrl+K").waitFor({ state: "attached" }); // the page is complete
  return { page, complaints, requests };
}

const types: Record<string, string> = {
  ".html": "text/html",
  ".json": "application/json",
  ".yaml": "application/yaml",
};

/** Serves static files below a path. Returns the URL, without a trailing slash. */
export async function serveFolder(folder: string, path: string): Promise<string> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "", "http://host");
    if (pathname !== path && !pathname.startsWith(`${path}/`)) return void response.writeHead(404).end();
    const file = join(folder, normalize(pathname.slice(path.length)));
    if (!extname(file) && !pathname.endsWith("/")) {
      return void response.writeHead(301, { location: `${pathname}/` }).end();
    }
    const name = extname(file) ? file : join(file, "index.html");
    readFile(name).then(
      (bytes) => response.writeHead(200, { "content-type": types[extname(name)] }).end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  return `http://127.0.0.1:${await listen(server)}${path}`;
}
