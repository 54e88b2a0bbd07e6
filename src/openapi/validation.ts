/**
 * Is the request what the contract asks for? express-openapi-validator answers; here its input is
 * made safe before it and its errors are made problems after it.
 */
import { isUtf8 } from "node:buffer";
import { parse as parseContentType } from "content-type";
import express, { type Request, type RequestHandler, type Response } from "express";
import * as OpenApiValidator from "express-openapi-validator";
import { hasBody } from "../http/framing.ts";
import { invalidRequest, Problem, type RequestError } from "../problems/problems.ts";
import type { Contract, Operation } from "./contract.ts";
import { requireCanonicalScalars, requireRepresentableNumbers } from "./parameters.ts";

/** No declared body comes near it. */
const bodyLimitBytes = 16_384;
/** A body of that size comes in a dozen pieces. One of a thousand was cut up to cost memory: a piece takes 100 bytes and more. */
const maxPieces = 1_024;
/** Enough for any mistake; a body made of mistakes must not be answered with ten times as much. */
const mostErrors = 20;

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * @returns a function that reads and validates the request of an operation, leaving the validated
 * body in `request.body` and the parameters in `request.params` and `request.query`.
 * It throws the problem (400, 413, 415) otherwise.
 */
export function requestValidator(contract: Contract) {
  const withInput = new Set(contract.operations.filter(({ hasInput }) => hasInput).map(({ path }) => path));
  const paths = Object.entries(contract.document.paths).filter(([path]) => withInput.has(path));
  const validators = OpenApiValidator.middleware({
    // It looks for the path of each request from the first to the last, and changes the document that it is given.
    apiSpec: structuredClone({ ...contract.document, paths: Object.fromEntries(paths) }) as never,
    validateApiSpec: false, // `npm run lint` does; compiling the schema of OpenAPI would take a sixth of a start
    validateRequests: { allErrors: true },
    validateResponses: false,
    // The guard authenticates: the validator would turn an outage into a 401.
    validateSecurity: false,
    fileUploader: false,
    // Its own pattern also takes `urn:uuid:…`, which Postgres does not.
    formats: { uuid: { type: "string", validate: (value: string) => uuid.test(value) } },
  });

  const types = contract.operations.flatMap(({ requestType }) => requestType ?? []);
  const readers = new Map(types.map((type) => [type, bodyReader(type)]));

  const validateInput = async (operation: Operation, request: Request, response: Response): Promise<void> => {
    const reader = operation.requestType && readers.get(operation.requestType);
    if (reader) await run(reader, request, response);
    // The validator compiles and keeps a validator for each Content-Type that it meets. It must meet only the declared ones,
    // or a client could fill the memory.
    else delete request.headers["content-type"];
    requireDeclaredQuery(operation, request);
    requireCanonicalScalars(operation, request);
    if (reader) requireRepresentableNumbers(request.body);
    for (const validator of validators) await run(validator, request, response);
    // The validator finds the operation by itself. If it found another one, nothing has been validated.
    const { openapi } = request as { openapi?: { schema?: { operationId?: string } } };
    if (openapi?.schema?.operationId !== operation.id) throw new Error(`${operation.id} was not validated`);
  };

  return (operation: Operation, request: Request, response: Response): Promise<void> | undefined => {
    if (operation.hasInput) return validateInput(operation, request, response);
    requireDeclaredQuery(operation, request);
    return undefined;
  };
}

/** The validator takes brackets for nested objects, and overlooks those that it makes nothing of: `?[x]=1`. */
function requireDeclaredQuery({ query }: Operation, request: Request): void {
  if (!request.url.includes("?")) return;
  const undeclared = Object.keys(request.query).filter((name) => !query.has(name));
  const [first, ...others] = undeclared.slice(0, mostErrors).map((name) => ({
    parameter: name,
    detail: "is not a query parameter of this operation",
  }));
  if (first) throw new Problem("invalid-request", { errors: [first, ...others] });
}

/** Reads the body as JSON in UTF-8, not compressed, so that its limit is the limit of the work. */
function bodyReader(type: string): RequestHandler {
  const read = express.json({
    type,
    limit: bodyLimitBytes,
    inflate: false,
    verify: (_request, _response, bytes) => {
      if (!isUtf8(bytes)) throw new Error("not UTF-8"); // body-parser makes it `entity.verify.failed`
    },
  });
  return (request, response, next) => {
    if (!hasBody(request)) throw invalidRequest({ pointer: "#", detail: "a body is required" });
    if (!isPlain(request.headers["content-type"], type)) throw unsupported(type);
    if (Number(request.headers["content-length"] ?? 0) > bodyLimitBytes) throw tooLarge();
    request.headers["content-type"] = type; // without what body-parser might read otherwise
    read(request, response, next);
    // The server reports a body that is late or malformed; body-parser would wait for its end before it reports that.
    request.on("error", (error) => {
      if (error instanceof Problem) next(error);
    });
    // body-parser would read a body to its end before it says that it is too large.
    let arrived = 0;
    let pieces = 0;
    request.on("data", (chunk: Buffer) => {
      arrived += chunk.length;
      pieces += 1;
      if (pieces > maxPieces) {
        // It would keep each of them, whatever their size, until the end.
        request.removeAllListeners("data").resume();
        response.setHeader("Connection", "close");
        next(tooLarge());
      } else if (arrived > bodyLimitBytes) next(tooLarge());
    });
  };
}

/** Whether a Content-Type is the declared one, in UTF-8. */
function isPlain(header: string | undefined, type: string): boolean {
  try {
    const given = parseContentType(header ?? "");
    return given.type === type && (given.parameters["charset"] ?? "utf-8").toLowerCase() === "utf-8";
  } catch {
    return false;
  }
}

/** Runs one middleware as a promise: the request goes one way, readable from top to bottom. */
function run(middleware: RequestHandler, request: Request, response: Response): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const next = (error?: unknown) => (error === undefined ? resolve() : reject(error));
    Promise.resolve(middleware(request, response, next)).catch(reject);
  }).catch((error: unknown) => {
    throw asProblem(error, request.body);
  });
}

/** What body-parser (`type`) and the validator (`errors`) throw. Anything else is a fault and stays one. */
function asProblem(error: unknown, body: unknown): unknown {
  if (error instanceof Problem || !(error instanceof Error)) return error;
  const { status, type, errors } = error as { status?: number; type?: string; errors?: ValidatorError[] };
  if (status === 413) return tooLarge();
  if (status === 415) return unsupported("application/json");
  if (status !== 400 && type !== "entity.verify.failed") return error;
  const places = (errors ?? []).slice(0, mostErrors).map((place) => requestError(place, body));
  const [first = { pointer: "#", detail: bodyErrors[type ?? ""] ?? "could not be read" }, ...others] = places;
  return new Problem("invalid-request", { errors: [first, ...others], cause: error });
}

type ValidatorError = { path: string; message: string; errorCode?: string };

/** The validator's `/body/username`, `/path/id`, `/query/limit`, in the contract's words. */
function requestError({ path, message, errorCode }: ValidatorError, body: unknown): RequestError {
  const [, place = "", rest = ""] = /^\/(\w+)\/?(.*)$/s.exec(path) ?? [];
  if (place === "body") {
    const steps = path.split("/").slice(2);
    const isUnknownMember = /^(additional|unevaluated)Properties\./.test(errorCode ?? "");
    return { pointer: asFragment(isUnknownMember ? escapeMember(steps, body) : steps), detail: message };
  }
  if (place === "headers") return { header: rest, detail: message };
  if (place === "params" || place === "query") return { parameter: rest.toWellFormed(), detail: message };
  return { pointer: "#", detail: message };
}

/** Of an unknown member, the validator puts the bare name, slashes and all, behind the pointer to its object. */
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

const tooLarge = () => new Problem("payload-too-large", { detail: `The body exceeds ${bodyLimitBytes} bytes.` });

const unsupported = (type: string) =>
  new Problem("unsupported-media-type", { detail: `Send ${type} in UTF-8, not compressed.` });
