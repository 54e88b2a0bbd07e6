/**
 * Validates responses against the contract, independently of the code that writes them. The tests validate every response
 * that they receive; a running service does it as `CONTRACT_CHECK` says.
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormatsModule from "ajv-formats";
import type { OpenApiDocument } from "./document.ts";

export type ReceivedResponse = {
  status: number;
  /** By lower-case name. A header that was sent more than once has several values. */
  headers: Record<string, string[]>;
  text: string;
};

/**
 * Validates a response.
 * @param operationId `undefined` if the request matches no operation
 * @returns the first violation, without any value of the response; `undefined` for a valid response
 */
export type ResponseValidator = (
  operationId: string | undefined,
  method: string,
  response: ReceivedResponse,
) => string | undefined;

/**
 * The responses to requests that match no operation. A 405 is recognized by its `Allow`. Below the folder of OAuth operations, they
 * are errors of OAuth.
 */
const undeclaredOperation: Record<number, string> = {
  400: "#/components/responses/InvalidRequest",
  404: "#/components/responses/NotFound",
  408: "#/components/responses/RequestTimeout",
  500: "#/components/responses/InternalError",
};

/** Headers of HTTP itself and of proxies, and those that helmet and cors add to every response. */
const undeclaredHeaders = new Set(
  `connection content-length content-type date keep-alive transfer-encoding
   content-security-policy cross-origin-opener-policy cross-origin-resource-policy origin-agent-cluster server
   referrer-policy strict-transport-security x-content-type-options x-dns-prefetch-control x-download-options
   x-frame-options x-permitted-cross-domain-policies x-xss-protection
   vary access-control-allow-origin access-control-expose-headers`.split(/\s+/),
);

type Json = Record<string, unknown>;
/** A value of the contract and its JSON Pointer, both after references are resolved. */
type Resolved = { pointer: string; value: Json };

const addFormats = addFormatsModule.default;

export function createResponseValidator(document: OpenApiDocument): ResponseValidator {
  const ajv = addFormats(new Ajv2020({ strict: false, allErrors: true, validateSchema: false }));
  ajv.addSchema(document, "contract");
  const validators = new Map<string, ValidateFunction>();
  const found = new Map<string, Resolved>();
  const responses = new Map(
    Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, { operationId }]) => [
        operationId,
        `#/paths/${escapeStep(path)}/${method}/responses`,
      ]),
    ),
  );

  return (operationId, method, response) => {
    const isHead = method === "HEAD";
    const isOAuthError = response.headers["content-type"]?.[0] === "application/json; charset=utf-8";
    if (operationId === undefined && (isOAuthError || response.status === 405)) {
      if (response.status !== 405 && !undeclaredOperation[response.status]) return "is not declared";
      if (response.status === 405 && !response.headers["allow"]) return "is without Allow";
      const schema = `#/components/schemas/${isOAuthError ? "OAuthError" : "Problem"}`;
      return isHead ? undefined : schemaFault(schema, () => JSON.parse(response.text));
    }
    const pointer =
      operationId === undefined
        ? undeclaredOperation[response.status]
        : `${responses.get(operationId)}/${response.status}`;
    const declared = pointer === undefined ? undefined : find(pointer);
    if (!declared) return "is not declared";
    return headerFault(declared, response) ?? bodyFault(declared, response, isHead);
  };

  function headerFault({ pointer, value }: Resolved, response: ReceivedResponse): string | undefined {
    const declared = Object.keys((value["headers"] ?? {}) as Json);
    for (const name of declared) {
      const header = find(`${pointer}/headers/${escapeStep(name)}`) as Resolved;
      const values = response.headers[name.toLowerCase()];
      if (!values && header.value["required"]) return `is without ${name}`;
      const isInteger = (header.value["schema"] as Json)["type"] === "integer";
      for (const value of values ?? []) {
        const fault = schemaFault(`${header.pointer}/schema`, () => (isInteger ? Number(value) : value));
        if (fault) return `has a header ${name} that ${fault}`;
      }
    }
    const known = new Set(declared.map((name) => name.toLowerCase()));
    const undeclared = Object.keys(response.headers).find((name) => !known.has(name) && !undeclaredHeaders.has(name));
    return undeclared && `has the undeclared header ${undeclared}`;
  }

  function bodyFault({ pointer, value }: Resolved, response: ReceivedResponse, isHead: boolean): string | undefined {
    const types = Object.keys((value["content"] ?? {}) as Json);
    const given = response.headers["content-type"]?.[0];
    const type = given?.replace(/; ?charset=utf-8$/, "");
    if (type === undefined ? types.length > 0 : !types.includes(type))
      return `is of type ${given}, not ${types.join(" or ") || "undefined"}`;
    if (!type || isHead) return response.text === "" ? undefined : "has a body";
    const body = () => (/[/+]json$/.test(type) ? JSON.parse(response.text) : response.text);
    return schemaFault(`${pointer}/content/${escapeStep(type)}/schema`, body);
  }

  function schemaFault(pointer: string, read: () => unknown): string | undefined {
    let validate = validators.get(pointer);
    if (!validate) {
      validate = ajv.compile({ $ref: `contract${pointer}` });
      validators.set(pointer, validate);
    }
    let value: unknown;
    try {
      value = read();
    } catch {
      return "is not JSON";
    }
    return validate(value) ? undefined : `is not as declared: ${ajv.errorsText(validate.errors)}`;
  }

  /** Finds the value of a JSON Pointer, and follows the references on the way. */
  function find(pointer: string): Resolved | undefined {
    const known = found.get(pointer);
    if (known) return known;
    let resolved: Resolved = { pointer: "#", value: document };
    for (const step of pointer.slice(2).split("/")) {
      const value = resolved.value[unescapeStep(step)] as Json | undefined;
      if (value === undefined) return undefined;
      const next =
        typeof value["$ref"] === "string" ? find(value["$ref"]) : { pointer: `${resolved.pointer}/${step}`, value };
      if (!next) return undefined;
      resolved = next;
    }
    found.set(pointer, resolved);
    return resolved;
  }
}

/** RFC 6901, section 3. */
const escapeStep = (step: string) => step.replaceAll("~", "~0").replaceAll("/", "~1");
const unescapeStep = (step: string) => step.replaceAll("~1", "/").replaceAll("~0", "~");
