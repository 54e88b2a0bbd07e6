/**
 * Validates the parameters and the JSON body of an operation that is already known, with express-openapi-validator. Left alone, the
 * library looks for the operation of each request by compiling the paths of the contract one after the other, and waits for several
 * promises, which takes a tenth of the time of a refresh.
 */
import type { Request, RequestHandler, Response } from "express";
import * as OpenApiValidator from "express-openapi-validator";
import schemaValidation from "express-openapi-validator/dist/framework/openapi.schema.validator.js";
import { isDateTime } from "../lib/dateTime.ts";
import type { OperationId } from "./binding.ts";
import type { Contract, Operation } from "./contract.ts";
import { withoutReferences } from "./document.ts";

/**
 * Validates a request whose body has been read. It converts parameters to their types, and adds the defaults.
 * @throws the library's error, with status 400
 */
export type ValidateOperation = (operation: Operation, request: Request, response: Response) => Promise<void>;

/** What the library needs to know about the operation of a request, as its own search would find it. */
type Route = { expressRoute: string; openApiRoute: string; schema: object; serial: number };

/** The parts of the library's object that are replaced. */
type Library = {
  metadataMiddleware(context: LibraryContext): RequestHandler;
  requestValidationMiddleware(apiDoc: object): RequestHandler;
  installPathParams(): void;
};
type LibraryContext = {
  apiDoc: { paths: Record<string, Record<string, { operationId: OperationId }>> };
  routes: readonly { basePath: string; expressRoute: string; openApiRoute: string; method: string }[];
  serial: number;
};

// The validator compiles the schema of contracts even if it does not validate the contract, in a fifth of the startup time.
Object.assign(schemaValidation, { OpenAPISchemaValidator: class {} });

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function operationValidator(contract: Contract): ValidateOperation {
  const middlewares = OpenApiValidator.middleware({
    apiSpec: inputOnly(contract),
    validateApiSpec: false, // `npm run lint` validates it
    validateRequests: { allErrors: true },
    validateResponses: false,
    // The guard authenticates. The validator would turn an outage into a 401.
    validateSecurity: false,
    fileUploader: false,
    // The validator's own patterns accept `urn:uuid:…`, which Postgres rejects, and dates that do not exist.
    formats: {
      uuid: { type: "string", validate: (value: string) => uuid.test(value) },
      "date-time": { type: "string", validate: isDateTime },
    },
  });
  const { _oav: library } = OpenApiValidator.middleware as typeof OpenApiValidator.middleware & { _oav: Library };
  const routes = new Map<OperationId, Route>();
  let validate: RequestHandler | undefined;
  const createValidator = library.requestValidationMiddleware.bind(library);
  Object.assign(library, {
    metadataMiddleware({ apiDoc, routes: found, serial }) {
      for (const { basePath, expressRoute, openApiRoute, method } of found) {
        const schema = apiDoc.paths[openApiRoute.slice(basePath.length)]?.[method.toLowerCase()];
        if (schema) routes.set(schema.operationId, { expressRoute, openApiRoute, schema, serial });
      }
      return skip;
    },
    requestValidationMiddleware(apiDoc) {
      validate = createValidator(apiDoc);
      return skip;
    },
    // The router has decoded the parameters.
    installPathParams() {},
  } satisfies Library);

  return async (operation, request, response) => {
    if (!validate) await load(middlewares, request, response);
    const route = routes.get(operation.id);
    if (!validate || !route) throw new Error(`${operation.id} cannot be validated`);
    request.params ??= {}; // without parameters, the request has not passed a router
    Object.assign(request, { openapi: { ...route, pathParams: request.params } });
    let isValid = false;
    validate(request, response, (error?: unknown) => {
      if (error !== undefined) throw error;
      isValid = true;
    });
    if (!isValid) throw new Error(`${operation.id} was not validated`);
  };
}

const skip: RequestHandler = (_request, _response, next) => next();

/** Runs the library's middlewares, which read the contract and create the parts above when they are called. */
async function load(middlewares: readonly RequestHandler[], request: Request, response: Response): Promise<void> {
  for (const middleware of middlewares) {
    await new Promise<void>((resolve, reject) => {
      middleware(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
    });
  }
}

/**
 * The contract with the paths that have input only. Without responses and references, because the validator would compile each
 * schema to which something refers at startup. It is a copy, because the validator changes it.
 */
function inputOnly({ document, operations }: Contract) {
  const withInput = new Set(
    operations
      .filter(({ hasInput, form, stringParameters }) => hasInput && !form && !stringParameters)
      .map(({ path }) => path),
  );
  const withoutResponses = (item: object) =>
    Object.fromEntries(Object.entries(item).map(([method, operation]) => [method, { ...operation, responses: {} }]));
  const paths = Object.entries(document.paths).flatMap(([path, item]) =>
    withInput.has(path) ? [[path, withoutResponses(item)]] : [],
  );
  return withoutReferences(document, { ...document, components: {}, paths: Object.fromEntries(paths) });
}
