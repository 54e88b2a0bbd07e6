/** The contract as an object. The build parses it once: parsing YAML would take a fifth of the processor time of a start. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

type Parsed = { digest: string; document: unknown };

const digestOf = (yaml: string): string => createHash("sha256").update(yaml).digest("base64url");

/** @returns the contents of the file that `parseContract` reads, for the build */
export async function parsedContractFile(yaml: string): Promise<string> {
  const { parse } = await import("yaml");
  return JSON.stringify({ digest: digestOf(yaml), document: parse(yaml) } satisfies Parsed);
}

/**
 * @param parsedFile used if it was made from the same text
 * @throws {YAMLParseError}
 */
export async function parseContract(yaml: string, parsedFile: string): Promise<unknown> {
  const parsed = await readFile(parsedFile, "utf8").then(
    (text) => JSON.parse(text) as Parsed,
    () => undefined, // there is no build, as in development
  );
  return parsed?.digest === digestOf(yaml) ? parsed.document : (await import("yaml")).parse(yaml);
}
