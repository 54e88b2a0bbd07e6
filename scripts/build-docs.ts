/**
 * Builds dist/docs.html, the guide and the reference on one self-contained page, as part of `npm run build`. Also writes the
 * compressed pages and the Content-Security-Policy that the service sends.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { builtFiles } from "../src/documentation/documentation.ts";
import { contentSecurityPolicy, sampleOrigin } from "../src/documentation/pages.ts";
import { compress } from "../src/openapi/encodedBody.ts";
import { readContract } from "./docs/contract.ts";
import { documentFor } from "./docs/document.ts";
import { readGuide } from "./docs/guide.ts";

const page = "dist/docs.html";
const copy = "dist/docs.json";
await mkdir("dist", { recursive: true });
const contract = await readContract();
await writeFile(copy, JSON.stringify(documentFor(contract, await readGuide(contract))));
await promisify(execFile)("node_modules/.bin/redocly", [
  ...["build-docs", copy, "--inlineBundle", "-o", page],
  ...["--template", "scripts/docs/page.hbs", "--title", contract.info.title],
  ...["--templateOptions.style", await readFile("scripts/docs/page.css", "utf8")],
  ...["--templateOptions.script", await readFile("scripts/docs/page.js", "utf8")],
]);
await rm(copy);

let html = await readFile(page, "utf8");
// redocly.yaml disables the telemetry of Redoc.
if (!html.includes('"disableTelemetry":true')) throw new Error("The telemetry of Redoc is not disabled.");
// Changes for which Redoc has no option. If a text is missing because Redoc has changed, the build fails.
for (const logo of ["logo-mini-full", "logo-mini"]) replace(`https://cdn.redoc.ly/redoc/${logo}.svg`, redocLogo());
// The prerendered page has links to paths, but the page that is rendered in the browser has links to fragments.
replace(/href="(\/[^"]*)" data-discover/g, 'href="#$1" data-discover');
// Redoc would turn the attribute `viewBox` into `viewbox`.
replace("this.lowerCaseAttributeNames=t.lowerCaseAttributeNames??!t.xmlMode", "this.lowerCaseAttributeNames=!1");
// The colours of nested names cannot be read on one of the backgrounds.
replace(/\[`#9D00FF`,[^\]]+\]/g, "[`var(--text-color-primary)`]");
replace("hydrate(__redoc_definition,", `hydrate((${withServiceUrl})(__redoc_definition, "${sampleOrigin}"),`);

const { br, gzip } = await compress(Buffer.from(html));
const files = builtFiles(page);
await writeFile(page, html);
await writeFile(files.br, br);
await writeFile(files.gzip, gzip);
await writeFile(files.policy, contentSecurityPolicy(html));

/** Runs in the browser: puts the URL of the service into the samples. A copy on another host is not at `/docs`, and stays. */
function withServiceUrl(definition: object, sampleOrigin: string): object {
  const { location } = globalThis as unknown as { location: { href: string } };
  const [, service] = /^([^?#]*)\/docs(?:[?#]|$)/.exec(location.href) ?? [];
  if (service === undefined) return definition;
  return JSON.parse(JSON.stringify(definition).replaceAll(sampleOrigin, () => service));
}

function replace(from: string | RegExp, to: string): void {
  const replaced = html.replaceAll(from, to);
  if (replaced === html) throw new Error(`The page of Redoc no longer contains ${from}.`);
  html = replaced;
}

/** Replaces the logo in the footer, which Redoc loads from elsewhere. */
function redocLogo(): string {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="34" height="10"><style>text{fill:#0044d4}@media(prefers-color-scheme:dark){text{fill:#a9c0ff}}</style><text y="9" font-family="sans-serif" font-size="10">Redoc</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
