/** Writes dist/openapi.json, the parsed contract, which the service loads faster than YAML. Part of `npm run build`. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { parsedContractFile } from "../src/openapi/parseContract.ts";

await mkdir("dist", { recursive: true });
await writeFile("dist/openapi.json", await parsedContractFile(await readFile("openapi.yaml", "utf8")));
