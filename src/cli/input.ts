/**
 * Reads and checks the arguments of a command. They must match a schema of the contract: the domain relies on what the contract
 * requires of a request, such as lengths.
 */
import { isUtf8 } from "node:buffer";
import { readFile } from "node:fs/promises";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { components } from "../../generated/openapi.ts";
import { InputError } from "../errors.ts";
import { packageFile } from "../lib/package.ts";
import { parseContract } from "../openapi/parseContract.ts";

type Schemas = components["schemas"];

/**
 * @returns the value
 * @throws {InputError} that names each member which the schema does not allow
 */
export async function requireValid<Name extends keyof Schemas & string>(
  name: Name,
  value: Schemas[Name],
): Promise<Schemas[Name]> {
  const yaml = await readFile(packageFile("openapi.yaml"), "utf8");
  const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true, validateSchema: false }));
  ajv.addSchema((await parseContract(yaml, packageFile("dist/openapi.json"))) as object, "contract");
  const validate = ajv.getSchema(`contract#/components/schemas/${name}`);
  if (!validate) throw new Error(`The contract has no schema ${name}.`);
  if (validate(value)) return value;
  const sentences = (validate.errors ?? []).map(
    ({ instancePath, message }) => `${instancePath.slice(1).replaceAll("/", " ") || "arguments"}: ${message}`,
  );
  throw new InputError([...new Set(sentences)].join("\n"));
}

/**
 * Reads the text of a file that an option names.
 * @throws {InputError} if it cannot be read, or is not UTF-8
 */
export async function readText(file: string): Promise<string> {
  const bytes = await readFile(file).catch((cause: Error) => {
    throw new InputError(`${file} cannot be read: ${cause.message}`, { cause });
  });
  if (!isUtf8(bytes)) throw new InputError(`${file} is not UTF-8.`);
  return bytes.toString();
}
