/**
 * Is an answer what the contract says? Judged from outside, without the code that wrote it: by the
 * tests for every answer that they get, and by a running service as `CONTRACT_CHECK` says.
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormatsModule from "ajv-formats";
import type { OpenApiDocument } from "./contract.ts";

export type Answer = {
  status: number;
  /** By name in lower case; a header that was sent more than once has all its values. */
  headers: Record<string, string[]>;
  text: string;
};

/**
 * Holds an answer against the contract.
 * @param operationId `undefined` for a request to no operation
 * @returns what is wrong with it, without any value that is in it; `undefined` where nothing is.
 */
export type ResponseValidator = (operationId: string | undefined, method: string, answer: Answer) => string | undefined;

/** What a request to no operation may get has the shape of what operations give. A 405 is known by its `Allow`. */
const shapesBeyond: Record<number, string> = {
  400: "#/components/responses/InvalidRequest",
  404: "#/components/responses/NotFound",
  408: "#/components/responses/RequestTimeout",
  500: "#/components/responses/InternalError",
};

// HTTP's own (a proxy says who is the Server), and what helmet and cors add to every answer (described in the
// contract's text).
const undeclaredHeaders = new Set(
  `connection content-length content-type date keep-alive transfer-encoding
   content-security-policy cross-origin-opener-policy cross-origin-resource-policy origin-agent-cluster server
   referrer-policy strict-transport-security x-content-type-options x-dns-prefetch-control x-download-options
   x-frame-options x-permitted-cross-domain-policies x-xss-protection
   vary access-control-allow-origin access-control-expose-headers`.split(/\s+/),
);

type Json = Record<string, unknown>;
/** A place of the contract that holds something else than a reference, and what it holds. */
type Place = { pointer: string; value: Json };

// The package is CommonJS and its types describe its ES module.
const addFormats = addFormatsModule as unknown as typeof addFormatsModule.default;

export function createResponseValidator(document: OpenApiDocument): ResponseValidator {
  const ajv = addFormats(new Ajv2020({ strict: false, allErrors: true, validateSchema: false }));
  ajv.addSchema(document, "contract");
  const validators = new Map<string, ValidateFunction>();
  const responses = new Map(
    Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, { operationId }]) => [
        operationId,
        `#/paths/${escapeStep(path)}/${method}/responses`,
      ]),
    ),
  );

  return (operationId, method, answer) => {
    const isHead = method === "HEAD";
    if (operationId === undefined && answer.status === 405) {
      if (!answer.headers["allow"]) return "is without Allow";
      return isHead ? undefined : schemaFault("#/components/schemas/Problem", () => JSON.parse(answer.text));
    }
    const pointer =
      operationId === undefined ? shapesBeyond[answer.status] : `${responses.get(operationId)}/${answer.status}`;
    const declared = pointer === undefined ? undefined : find(pointer);
    if (!declared) return "is not declared";
    return headerFault(declared, answer) ?? bodyFault(declared, answer, isHead);
  };

  function headerFault({ pointer, value }: Place, answer: Answer): string | undefined {
    const declared = Object.keys((value["headers"] ?? {}) as Json);
    for (const name of declared) {
      const header = find(`${pointer}/headers/${escapeStep(name)}`) as Place;
      const values = answer.headers[name.toLowerCase()];
      if (!values && header.value["required"]) return `is without ${name}`;
      const isInteger = (header.value["schema"] as Json)["type"] === "integer";
      for (const value of values ?? []) {
        const fault = schemaFault(`${header.pointer}/schema`, () => (isInteger ? Number(value) : value));
        if (fault) return `has a header ${name} that ${fault}`;
      }
    }
    const known = new Set(declared.map((name) => name.toLowerCase()));
    const stranger = Object.keys(answer.headers).find((name) => !known.has(name) && !undeclaredHeaders.has(name));
    return stranger && `has the undeclared header ${stranger}`;
  }

  function bodyFault({ pointer, value }: Place, answer: Answer, isHead: boolean): string | undefined {
    const types = Object.keys((value["content"] ?? {}) as Json);
    const given = answer.headers["content-type"]?.[0];
    const type = given?.replace(/; ?charset=utf-8$/, "");
    if (type === undefined ? types.length > 0 : !types.includes(type))
      return `is of type ${given}, not ${types.join(" or ") || "undefined"}`;
    if (!type || isHead) return answer.text === "" ? undefined : "has a body";
    const body = () => (/[/+]json$/.test(type) ? JSON.parse(answer.text) : answer.text);
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

  /** What a JSON Pointer leads to, by way of the references that are met. */
  function find(pointer: string): Place | undefined {
    let place: Place = { pointer: "#", value: document as unknown as Json };
    for (const step of pointer.slice(2).split("/")) {
      const value = place.value[unescapeStep(step)] as Json | undefined;
      if (value === undefined) return undefined;
      const next =
        typeof value["$ref"] === "string" ? find(value["$ref"]) : { pointer: `${place.pointer}/${step}`, value };
      if (!next) return undefined;
      place = next;
    }
    return place;
  }
}

/** RFC 6901, section 3. */
const escapeStep = (step: string) => step.replaceAll("~", "~0").replaceAll("/", "~1");
const unescapeStep = (step: string) => step.replaceAll("~1", "/").replaceAll("~0", "~");
