/**
 * Validates the parameters and the JSON body of a request with express-openapi-validator. By itself, the library finds the operation of
 * each request by compiling the contract's paths one after the other, and waits for several promises. The router has already found
 * the operation, so this file replaces that part of the library.
 */
import type { Request, RequestHandler, Response } from "express";
import * as OpenApiValidator from "express-openapi-validator";
import schemaValidation from "express-openapi-validator/dist/framework/openapi.schema.validator.js";
import { isDateTime } from "../lib/dateTime.ts";
import type { OperationId } from "./binding.ts";
import type { Contract, Operation } from "./contract.ts";
import { withoutReferences } from "./document.ts";
import { runMiddleware } from "./middleware.ts";

/**
 * Validates a request whose body has been read. Converts parameters to their types, and adds defaults.
 * @throws {Error} the library's, with the status 400 and its `errors`, if the request is not valid; another if the contract cannot be
 * loaded
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

// The library compiles the schema of contracts even if it does not validate the contract, in a fifth of the startup time.
Object.assign(schemaValidation, { OpenAPISchemaValidator: class {} });

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Loads the contract at the first request. */
export function operationValidator(contract: Contract): ValidateOperation {
  const middlewares = OpenApiValidator.middleware({
    apiSpec: validatedPart(contract),
    validateApiSpec: false, // `npm run lint` validates it
    validateRequests: { allErrors: true },
    validateResponses: false,
    // The guard authenticates. The library would turn an outage into a 401.
    validateSecurity: false,
    fileUploader: false,
    // The library's own patterns accept `urn:uuid:…`, which Postgres rejects, and dates that do not exist.
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
    // The router has decoded the parameters, so the library must not replace them.
    installPathParams() {},
  } satisfies Library);

  return async (operation, request, response) => {
    if (!validate) for (const middleware of middlewares) await runMiddleware(middleware, request, response);
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

/**
 * The part of the contract that the library validates: paths with an input that neither formBody.ts nor stringParameters.ts validates.
 * It has no responses and references, because the library would compile each schema to which something refers at startup. It is a
 * copy, because the library changes it.
 */
function validatedPart({ document, operations }: Contract) {
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
