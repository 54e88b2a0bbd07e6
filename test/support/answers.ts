/**
 * Checks every answer that any test gets against the contract, independently of the code that
 * wrote it, and notes which (operation, status) pairs were seen.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormatsModule from "ajv-formats";
import { parse } from "yaml";

/** Where each test file notes what it saw. */
export const answersFolder = "build/answers";

export type Answer = {
  status: number;
  /** In lower case; a header that was sent more than once has all its values. */
  headers: Record<string, string[]>;
  text: string;
};

type Json = Record<string, unknown>;
type Responses = Record<string, Json>;
export type Contract = { paths: Record<string, Record<string, { operationId: string; responses: Responses }>> };
// The package is CommonJS and its types describe its ES module.
const addFormats = addFormatsModule as unknown as typeof addFormatsModule.default;
const contract = parse(readFileSync("openapi.yaml", "utf8")) as Contract;
const check = answerChecker(contract);

/** Every pair that the contract declares. */
export const declaredAnswers = (): string[] =>
  Object.values(contract.paths).flatMap((item) =>
    Object.values(item).flatMap(({ operationId, responses }) =>
      Object.keys(responses).map((status) => `${operationId} ${status}`),
    ),
  );

/** @throws where the answer is not one that the contract declares for that request. */
export function checkAnswer(method: string, target: string, answer: Answer): void {
  const operationId = check(method, target, answer);
  if (operationId) appendFileSync(`${answersFolder}/${process.pid}`, `${operationId} ${answer.status}\n`);
}

// HTTP's own (a proxy says who is the Server), and what helmet and cors add to every answer (described in the
// contract's text).
const undeclaredHeaders = new Set(
  `connection content-length content-type date keep-alive transfer-encoding
   content-security-policy cross-origin-opener-policy cross-origin-resource-policy origin-agent-cluster server
   referrer-policy strict-transport-security x-content-type-options x-dns-prefetch-control x-download-options
   x-frame-options x-permitted-cross-domain-policies x-xss-protection
   vary access-control-allow-origin access-control-expose-headers`.split(/\s+/),
);

/**
 * @returns a function that throws where an answer is not one that the contract declares for that request, and
 * returns the id of the operation, if the request is for one.
 */
export function answerChecker(contract: Contract) {
  const ajv = addFormats(new Ajv2020({ strict: false, allErrors: true }));
  ajv.addSchema(contract, "contract");
  const validators = new Map<string, ValidateFunction>();

  return checkAnswer;

  function checkAnswer(method: string, target: string, answer: Answer): string | undefined {
    const wrong = (what: string) =>
      new Error(`${method} ${target}: ${answer.status} ${what}\n${answer.text.slice(0, 1000)}`);
    const place = responsesFor(method, target);
    if (!place.responses) {
      // Beyond the contract there are three answers, and each has the shape of one within.
      const shapes: Record<number, string> = { 400: "InvalidRequest", 404: "NotFound" };
      if (answer.status === 405 && place.methods) {
        const expected = place.methods
          .flatMap((name) => (name === "get" ? ["GET", "HEAD"] : [name.toUpperCase()]))
          .join(", ");
        if (answer.headers["allow"]?.[0] !== expected)
          throw wrong(`with Allow ${answer.headers["allow"]}, not ${expected}`);
        if (method !== "HEAD") validate("#/components/schemas/Problem", JSON.parse(answer.text), wrong);
      } else if (shapes[answer.status] && (answer.status === 400 || !place.methods)) {
        checkResponse(`#/components/responses/${shapes[answer.status]}`, answer, method, wrong);
      } else {
        throw wrong("is not an answer to a path or a method that is not in the contract");
      }
      return undefined;
    }
    const pointer = `${place.responses}/${answer.status}`;
    if (!at(pointer)) throw wrong("is not declared");
    checkResponse(pointer, answer, method, wrong);
    return place.operationId;
  }

  function responsesFor(method: string, target: string) {
    const path = target.replace(/^http:\/\/[^/]*/, "").split("?")[0] as string;
    const matching = Object.keys(contract.paths)
      .sort((a, b) => Number(a.includes("{")) - Number(b.includes("{")))
      .find((template) => new RegExp(`^${template.replace(/\./g, "\\.").replace(/\{\w+\}/g, "[^/]+")}$`).test(path));
    const item = matching === undefined ? undefined : contract.paths[matching];
    const name = method === "HEAD" ? "get" : method.toLowerCase();
    const operation = item?.[name];
    return {
      methods: item && Object.keys(item),
      operationId: operation?.operationId,
      responses:
        operation && `#/paths/${String(matching).replaceAll("~", "~0").replaceAll("/", "~1")}/${name}/responses`,
    };
  }

  function checkResponse(reference: string, answer: Answer, method: string, wrong: (what: string) => Error): void {
    const { pointer, value: response } = dereference(reference);
    const headers = (response["headers"] ?? {}) as Json;
    for (const name of Object.keys(headers)) {
      const header = dereference(`${pointer}/headers/${name}`);
      const values = answer.headers[name.toLowerCase()];
      if (!values && header.value["required"]) throw wrong(`without ${name}`);
      for (const value of values ?? []) {
        const isInteger = (header.value["schema"] as Json)["type"] === "integer";
        validate(`${header.pointer}/schema`, isInteger ? Number(value) : value, wrong);
      }
    }
    const declared = Object.keys(headers).map((name) => name.toLowerCase());
    for (const name of Object.keys(answer.headers)) {
      if (!declared.includes(name) && !undeclaredHeaders.has(name)) throw wrong(`with the undeclared header ${name}`);
    }

    const content = (response["content"] ?? {}) as Json;
    const [type] = Object.keys(content);
    const given = answer.headers["content-type"]?.[0];
    if (given?.replace(/; ?charset=utf-8$/, "") !== type) throw wrong(`with Content-Type ${given}, not ${type}`);
    if (!type || method === "HEAD") {
      if (answer.text !== "") throw wrong("with a body");
      return;
    }
    const body = type.endsWith("json") ? JSON.parse(answer.text) : answer.text;
    validate(`${pointer}/content/${type.replaceAll("/", "~1")}/schema`, body, wrong);
  }

  function validate(pointer: string, value: unknown, wrong: (what: string) => Error): void {
    let validator = validators.get(pointer);
    if (!validator) {
      validator = ajv.compile({ $ref: `contract${pointer}` });
      validators.set(pointer, validator);
    }
    if (!validator(value)) throw wrong(`is not as declared: ${ajv.errorsText(validator.errors)}`);
  }

  function dereference(pointer: string): { pointer: string; value: Json } {
    const value = at(pointer) as Json;
    return typeof value["$ref"] === "string" ? dereference(value["$ref"]) : { pointer, value };
  }

  function at(pointer: string): unknown {
    const steps = pointer
      .slice(2)
      .split("/")
      .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
    return steps.reduce<unknown>((value, step) => {
      const target =
        value && typeof value === "object" && "$ref" in value ? dereference(String(value.$ref)).value : value;
      return (target as Json | undefined)?.[step];
    }, contract);
  }
}
