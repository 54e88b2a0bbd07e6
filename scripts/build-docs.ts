/** Makes dist/docs.html of the contract: one page, nothing from elsewhere. Part of `npm run build`. */
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";

const page = "dist/docs.html";
await mkdir("dist", { recursive: true });
await promisify(execFile)("node_modules/.bin/redocly", ["build-docs", "openapi.yaml", "--inlineBundle", "-o", page]);

// Redoc phones home and shows a logo from a CDN unless told otherwise; its command line has no
// option for either. A replacement that finds nothing fails the build: Redoc has changed.
let html = await readFile(page, "utf8");
replace('"disableTelemetry":false', '"disableTelemetry":true');
for (const logo of ["logo-mini-full", "logo-mini"]) replace(`https://cdn.redoc.ly/redoc/${logo}.svg`, redocInWords());
await writeFile(page, html);

function replace(from: string, to: string): void {
  if (!html.includes(from)) throw new Error(`Redoc's page no longer has ${from}.`);
  html = html.replaceAll(from, to);
}

/** The credit in the footer stays, as a picture of its own. */
function redocInWords(): string {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="34" height="10"><text y="9" font-family="sans-serif" font-size="10" fill="#0044d4">Redoc</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
