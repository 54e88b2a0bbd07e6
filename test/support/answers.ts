/** Validates every answer that a test receives against the contract, and records its operation and status. */
import { appendFileSync, readFileSync } from "node:fs";
import { parse } from "yaml";
import type { OpenApiDocument } from "../../src/openapi/document.ts";
import { createResponseValidator, type ReceivedResponse } from "../../src/openapi/responseValidator.ts";

/** Each test process records the answers that it received in a file of this folder. */
export const answersFolder = "build/answers";

const contract = parse(readFileSync("openapi.yaml", "utf8")) as OpenApiDocument;
const check = answerChecker(contract);

/** The statuses that the contract declares, by operation. */
export const declaredAnswers = (): Map<string, string[]> =>
  new Map(
    Object.values(contract.paths).flatMap((item) =>
      Object.values(item).map(({ operationId = "", responses }) => [operationId, Object.keys(responses)] as const),
    ),
  );

/** The methods of a path, as `Allow` lists them. Throws if the contract has no such path. */
export function allowedMethods(target: string): string[] {
  const { allow } = operationOf(contract, "GET", target);
  if (!allow) throw new Error(`The contract has no path for ${target}.`);
  return allow;
}

/** Every answer that this process has checked, as `operationId status`. */
export const observedAnswers: string[] = [];

/** Throws if the contract does not declare the answer for that request. */
export function checkAnswer(method: string, target: string, answer: ReceivedResponse): void {
  const operationId = operationOf(contract, method, target).operationId;
  if (operationId) {
    observedAnswers.push(`${operationId} ${answer.status}`);
    appendFileSync(`${answersFolder}/${process.pid}`, `${operationId} ${answer.status}\n`);
  }
  check(method, target, answer);
}

/**
 * Returns a function that throws if the contract does not declare an answer for a request. That function returns the
 * operation of the request, if it has one.
 */
export function answerChecker(contract: OpenApiDocument) {
  const conformance = createResponseValidator(contract);
  return (method: string, target: string, answer: ReceivedResponse): string | undefined => {
    const { operationId, allow } = operationOf(contract, method, target);
    const fault =
      conformance(operationId, method, answer) ?? (operationId ? undefined : faultBeyond(answer, allow?.join(", ")));
    if (fault) throw new Error(`${method} ${target}: ${answer.status} ${fault}\n${answer.text.slice(0, 1000)}`);
    return operationId;
  };
}

/** Requests for no operation are answered with 400, 404, 405 or 408; 405 only if the path exists. */
function faultBeyond({ status, headers }: ReceivedResponse, allow: string | undefined): string | undefined {
  if (status === 400 || status === 408) return undefined;
  if (status !== (allow === undefined ? 404 : 405)) return "is not an answer to a request for no operation";
  return headers["allow"]?.[0] === allow ? undefined : `has Allow ${headers["allow"]}, not ${allow}`;
}

/** Returns the operation of a request, if there is one, and the methods of its path. */
function operationOf(
  contract: OpenApiDocument,
  method: string,
  target: string,
): { operationId?: string | undefined; allow?: string[] } {
  const path = target.replace(/^https?:\/\/[^/]*/, "").split(/[?#]/)[0] as string;
  const template = Object.keys(contract.paths)
    .sort((a, b) => Number(a.includes("{")) - Number(b.includes("{")))
    .find((template) => new RegExp(`^${template.replace(/\./g, "\\.").replace(/\{\w+\}/g, "[^/]+")}$`).test(path));
  const item = template === undefined ? undefined : contract.paths[template];
  if (!item) return {};
  return {
    operationId: item[method === "HEAD" ? "get" : method.toLowerCase()]?.operationId,
    allow: Object.keys(item).flatMap((name) => (name === "get" ? ["GET", "HEAD"] : [name.toUpperCase()])),
  };
}
