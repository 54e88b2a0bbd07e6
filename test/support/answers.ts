/** Checks every answer that any test gets against the contract, and notes which (operation, status) pairs were seen. */
import { appendFileSync, readFileSync } from "node:fs";
import { parse } from "yaml";
import type { OpenApiDocument } from "../../src/openapi/contract.ts";
import { type Answer, createResponseValidator } from "../../src/openapi/responseValidator.ts";

/** Where each test file notes what it saw. */
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

/** Whether the contract declares a 304 for such a request. */
export const declaresNotModified = (method: string, target: string): boolean =>
  declaredAnswers()
    .get(operationOf(contract, method, target).operationId ?? "")
    ?.includes("304") ?? false;

/** @throws where the answer is not one that the contract declares for that request. */
export function checkAnswer(method: string, target: string, answer: Answer): void {
  const operationId = operationOf(contract, method, target).operationId;
  if (operationId) appendFileSync(`${answersFolder}/${process.pid}`, `${operationId} ${answer.status}\n`);
  check(method, target, answer);
}

/**
 * @returns a function that throws where an answer is not one that the contract declares for that request, and gives
 * the operation that it was for, if any.
 */
export function answerChecker(contract: OpenApiDocument) {
  const conformance = createResponseValidator(contract);
  return (method: string, target: string, answer: Answer): string | undefined => {
    const { operationId, allow } = operationOf(contract, method, target);
    const fault =
      conformance(operationId, method, answer) ?? (operationId ? undefined : faultBeyond(answer, allow?.join(", ")));
    if (fault) throw new Error(`${method} ${target}: ${answer.status} ${fault}\n${answer.text.slice(0, 1000)}`);
    return operationId;
  };
}

/** Beyond the contract there are four answers. Which one may depend on whether there is the path. */
function faultBeyond({ status, headers }: Answer, allow: string | undefined): string | undefined {
  if (status === 400 || status === 408) return undefined;
  if (status !== (allow === undefined ? 404 : 405)) return "is not for a request to no operation";
  return headers["allow"]?.[0] === allow ? undefined : `has Allow ${headers["allow"]}, not ${allow}`;
}

/** The operation that a request is for, if any, and which methods its path has. */
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
