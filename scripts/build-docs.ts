/**
 * Makes dist/docs.html: the guide and the reference on one page, with nothing from elsewhere. Part of `npm run build`. What the
 * service sends is beside it: the page compressed, and its Content-Security-Policy.
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
// Redoc phones home unless redocly.yaml says otherwise.
if (!html.includes('"disableTelemetry":true')) throw new Error("Redoc's page would phone home.");
// What its command line has no option for. A replacement that finds nothing fails the build: Redoc has changed.
for (const logo of ["logo-mini-full", "logo-mini"]) replace(`https://cdn.redoc.ly/redoc/${logo}.svg`, redocInWords());
// The page that it prerenders has links to paths, where the one that it makes of it has links to fragments.
replace(/href="(\/[^"]*)" data-discover/g, 'href="#$1" data-discover');
// It would write `viewbox`, which no diagram has.
replace("this.lowerCaseAttributeNames=t.lowerCaseAttributeNames??!t.xmlMode", "this.lowerCaseAttributeNames=!1");
// Names deep in a schema have colours that cannot be read on one background or the other.
replace(/\[`#9D00FF`,[^\]]+\]/g, "[`var(--text-color-primary)`]");
replace("hydrate(__redoc_definition,", `hydrate((${whereItIsServed})(__redoc_definition, "${sampleOrigin}"),`);

const { br, gzip } = await compress(Buffer.from(html));
const files = builtFiles(page);
await writeFile(page, html);
await writeFile(files.br, br);
await writeFile(files.gzip, gzip);
await writeFile(files.policy, contentSecurityPolicy(html));

/** Runs on the page. A copy on another host is not at `/docs`, and does not know where the service is. */
function whereItIsServed(definition: object, sampleOrigin: string): object {
  const { location } = globalThis as unknown as { location: { href: string } };
  const [, service] = /^([^?#]*)\/docs(?:[?#]|$)/.exec(location.href) ?? [];
  if (service === undefined) return definition;
  return JSON.parse(JSON.stringify(definition).replaceAll(sampleOrigin, () => service));
}

function replace(from: string | RegExp, to: string): void {
  const replaced = html.replaceAll(from, to);
  if (replaced === html) throw new Error(`Redoc's page no longer has ${from}.`);
  html = replaced;
}

/** The credit in the footer stays, as a picture of its own. */
function redocInWords(): string {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="34" height="10"><style>text{fill:#0044d4}@media(prefers-color-scheme:dark){text{fill:#a9c0ff}}</style><text y="9" font-family="sans-serif" font-size="10">Redoc</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
