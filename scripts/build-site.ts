/** `npm run docs`: builds dist/site/, the documentation with every linked file, for any web server and any path. */
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { parse } from "yaml";
import { problemPage } from "../src/documentation/pages.ts";
import { problems } from "../src/problems/catalogue.ts";

const site = "dist/site";
const collection = "generated/postman.json";
await rm(site, { recursive: true, force: true });
await mkdir(site, { recursive: true });
await copyFile("dist/docs.html", `${site}/index.html`);
await copyFile("openapi.yaml", `${site}/openapi.yaml`);
await writeFile(`${site}/openapi.json`, JSON.stringify(parse(await readFile("openapi.yaml", "utf8"))));
await copyFile(collection, `${site}/postman.json`).catch(ignoreMissing);
for (const [slug, problem] of Object.entries(problems)) {
  await mkdir(`${site}/problems/${slug}`, { recursive: true });
  await writeFile(`${site}/problems/${slug}/index.html`, problemPage(slug, problem, "../../"));
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
