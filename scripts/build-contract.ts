/**
 * Writes dist/openapi.json, the parsed contract, which the service loads faster than YAML, and makes the program executable. Part
 * of `npm run build`.
 */
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { parsedContractFile } from "../src/openapi/parseContract.ts";

await mkdir("dist", { recursive: true });
await writeFile("dist/openapi.json", await parsedContractFile(await readFile("openapi.yaml", "utf8")));
await chmod("dist/src/main.js", 0o755); // npx runs it here, and npm makes it executable only when it installs
