/**
 * Reads requests and validates them against the contract. Makes the input safe for operationValidator.ts, and turns its errors into
 * problems.
 */
import { isUtf8 } from "node:buffer";
import express, { type Request, type RequestHandler, type Response } from "express";
import { hasBody } from "../http/framing.ts";
import { Problem, type RequestError } from "../problems/problems.ts";
import type { OperationId } from "./binding.ts";
import type { Contract, Operation } from "./contract.ts";
import { formReaders } from "./formBody.ts";
import { runMiddleware } from "./middleware.ts";
import { operationValidator } from "./operationValidator.ts";
import { requireCanonicalScalars, requireRepresentableNumbers } from "./parameters.ts";
import { bodyLimitBytes, formType, maxChunksOf, requireBody, tooLarge, unsupported } from "./requestBody.ts";
import { stringParameterChecks } from "./stringParameters.ts";

/** Bounds the response, which would otherwise be ten times as large as an invalid body. */
const maxErrors = 20;

/**
 * Reads and validates the request of an operation. The validated body is in `request.body`, the parameters are in
 * `request.params` and `request.query`. For an operation without input it returns no promise.
 * @throws {Problem} a 400, 413 or 415
 */
export type RequestValidator = (
  operation: Operation,
  request: Request,
  response: Response,
) => Promise<void> | undefined;

/** @param bodyLimits in bytes, for operations whose bodies may be larger than 16 KiB */
export function requestValidator(
  contract: Contract,
  bodyLimits: Partial<Record<OperationId, number>> = {},
): RequestValidator {
  const validate = operationValidator(contract);
  const readers = new Map(
    contract.operations.flatMap(({ id, requestType }) =>
      requestType === undefined || requestType === formType
        ? []
        : [[id, bodyReader(requestType, bodyLimits[id] ?? bodyLimitBytes)]],
    ),
  );
  const formReader = formReaders(contract.operations);
  const checks = stringParameterChecks(contract.document, contract.operations);

  const validateInput = async (operation: Operation, request: Request, response: Response): Promise<void> => {
    const isRead = operation.requestType !== undefined && (operation.isBodyRequired || hasBody(request));
    const reader = isRead ? readers.get(operation.id) : undefined;
    try {
      if (reader) await runMiddleware(reader, request, response);
      // The library compiles and keeps a validator for each Content-Type that it meets. It must meet only the declared ones, or a client
      // could fill the memory.
      else delete request.headers["content-type"];
      requireDeclaredQuery(operation, request);
      requireCanonicalScalars(operation, request);
      if (reader) requireRepresentableNumbers(request.body);
      await validate(operation, request, response);
    } catch (error) {
      throw asProblem(error, request.body);
    }
  };

  return (operation, request, response) => {
    const readForm = formReader.get(operation);
    if (readForm) {
      requireDeclaredQuery(operation, request);
      return readForm(request, response);
    }
    const check = checks.get(operation);
    if (operation.hasInput && !check) return validateInput(operation, request, response);
    requireDeclaredQuery(operation, request);
    check?.(request);
    return undefined;
  };
}

/** The validator ignores some names with brackets, such as `?[x]=1`. */
function requireDeclaredQuery({ query }: Operation, request: Request): void {
  if (!request.url.includes("?")) return;
  const undeclared = Object.keys(request.query).filter((name) => !query.has(name));
  const [first, ...others] = undeclared.slice(0, maxErrors).map((name) => ({
    parameter: name,
    detail: "is not a query parameter of this operation",
  }));
  if (first) throw new Problem("invalid-request", { errors: [first, ...others] });
}

/** Reads a body as JSON in UTF-8. It must not be compressed, so that its limit also limits the work. */
function bodyReader(type: string, limitBytes: number): RequestHandler {
  const maxChunks = maxChunksOf(limitBytes);
  const read = express.json({
    type,
    limit: limitBytes,
    inflate: false,
    verify: (_request, _response, bytes) => {
      if (!isUtf8(bytes)) throw new Error("not UTF-8"); // body-parser makes it `entity.verify.failed`
    },
  });
  return (request, response, next) => {
    requireBody(request, type, limitBytes);
    request.headers["content-type"] = type; // without parameters, which body-parser would interpret
    read(request, response, next);
    // The server emits a problem if a body is late or malformed. body-parser would wait for the end of the body.
    request.on("error", (error) => {
      if (error instanceof Problem) next(error);
    });
    // body-parser would read a body that is too large to its end.
    let arrived = 0;
    let chunks = 0;
    request.on("data", (chunk: Buffer) => {
      arrived += chunk.length;
      chunks += 1;
      if (chunks > maxChunks) {
        // body-parser would keep them all until the end.
        request.removeAllListeners("data").resume();
        response.setHeader("Connection", "close");
        next(tooLarge(limitBytes));
      } else if (arrived > limitBytes) next(tooLarge(limitBytes));
    });
  };
}

/** Turns the errors of body-parser (`type`) and of the validator (`errors`) into problems. Other errors stay as they are. */
function asProblem(error: unknown, body: unknown): unknown {
  if (error instanceof Problem || !(error instanceof Error)) return error;
  const { status, type, errors } = error as { status?: number; type?: string; errors?: ValidatorError[] };
  if (status === 413) return new Problem("payload-too-large");
  if (status === 415) return unsupported("application/json");
  if (status !== 400 && type !== "entity.verify.failed") return error;
  const found = (errors ?? []).slice(0, maxErrors).map((error) => requestError(error, body));
  const [first = { pointer: "#", detail: bodyErrors[type ?? ""] ?? "could not be read" }, ...others] = found;
  return new Problem("invalid-request", { errors: [first, ...others], cause: error });
}

type ValidatorError = { path: string; message: string; errorCode?: string };

/** Turns the validator's path, such as `/body/username` or `/query/limit`, into the contract's form. */
function requestError({ path, message, errorCode }: ValidatorError, body: unknown): RequestError {
  const [, location = "", rest = ""] = /^\/(\w+)\/?(.*)$/s.exec(path) ?? [];
  if (location === "body") {
    const steps = path.split("/").slice(2);
    const isUnknownMember = /^(additional|unevaluated)Properties\./.test(errorCode ?? "");
    return { pointer: asFragment(isUnknownMember ? escapeMember(steps, body) : steps), detail: message };
  }
  if (location === "headers") return { header: rest, detail: message };
  if (location === "params" || location === "query") return { parameter: rest.toWellFormed(), detail: message };
  return { pointer: "#", detail: message };
}

/** The validator appends the name of an unknown member to the pointer to its object, without escaping it. */
function escapeMember([step = "", ...others]: string[], value: unknown): string[] {
  const name = [step, ...others].join("/");
  const within = value as Record<string, unknown> | undefined;
  if (others.length === 0 || Object.hasOwn(Object(within), name))
    return [name.replaceAll("~", "~0").replaceAll("/", "~1")];
  return [step, ...escapeMember(others, within?.[step.replaceAll("~1", "/").replaceAll("~0", "~")])];
}

/** A JSON Pointer as a URI fragment (RFC 6901, section 6). */
const asFragment = (steps: string[]) =>
  ["#", ...steps.map((step) => encodeURI(step.toWellFormed()).replaceAll("#", "%23"))].join("/");

const bodyErrors: Record<string, string> = {
  "entity.parse.failed": "is not a JSON object or array",
  "entity.verify.failed": "is not UTF-8",
};
