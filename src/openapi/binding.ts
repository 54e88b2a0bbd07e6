/**
 * The types of handlers, derived from generated/. A missing handler, an undeclared status, a missing header and a principal that
 * the operation does not have are compile errors (test/promises/binding.test.ts).
 */
import type { operations } from "../../generated/openapi.ts";
import type { security } from "../../generated/security.ts";
import type { ApiKeyPrincipal, ClientPrincipal, PasswordPrincipal, TokenPrincipal } from "../principal.ts";
import type { EncodedBody } from "./encodedBody.ts";

export type OperationId = keyof typeof security & keyof operations;
export type Scheme = "basicAuth" | "bearerAuth" | "apiKeyAuth" | "clientAuth";

/** A request. All of it is validated. */
export type Input<Id extends OperationId> = {
  body: RequestBody<Id>;
  path: Parameters<Id, "path">;
  query: Parameters<Id, "query">;
  /** The declared header parameters, under their names in the contract. */
  header: Parameters<Id, "header">;
  /** The declared cookies. One that does not match its pattern, or that was sent twice, is absent. */
  cookie: Parameters<Id, "cookie">;
};

/** The argument of a handler. */
export type Call<Id extends OperationId> = Input<Id> & { principal: PrincipalOf<Id> };

/**
 * The result of a handler: a declared success with its headers and its body. Failures are thrown as problems, except that a handler
 * may return a form again, with a 400. If the operation declares a 304, the body is an `EncodedBody`, and negotiation decides between
 * 200 and 304.
 */
export type Reply<Id extends OperationId> = {
  [Status in SuccessStatus<Id>]: { status: Status } & (304 extends keyof operations[Id]["responses"]
    ? HeadersPart<operations[Id]["responses"][Status], "ETag"> & { body: EncodedBody }
    : HeadersPart<operations[Id]["responses"][Status]> & BodyPart<operations[Id]["responses"][Status]>);
}[SuccessStatus<Id>];

export type Handler<Id extends OperationId> = (call: Call<Id>) => Reply<Id> | Promise<Reply<Id>>;
/**
 * The handler of an operation whose parameters decide which credentials it accepts. It checks them itself, after validation: the
 * guard does not run. Only for operations with optional credentials, and for those without security, such as the endpoints that
 * authenticate clients of OAuth.
 */
export type GuardingHandler<Id extends OperationId> = {
  /** @param authorization the header of the request, which is not validated */
  guardAndHandle(input: Input<Id>, authorization: string | undefined): Reply<Id> | Promise<Reply<Id>>;
  /**
   * Called if the request is not valid. It throws a problem for an unauthorized caller, who must not learn what is wrong.
   * @param body what was read of it, which is not validated
   */
  guardInvalid?(authorization: string | undefined, body: unknown): unknown;
};
/**
 * The handler of an operation to which other sites send browsers. It validates the parameters itself, because they decide where an
 * error is sent, and ignores those that are not declared. A page of any origin may send the form. Only for public operations, which
 * change nothing without a cookie.
 */
export type NavigationHandler<Id extends OperationId> = {
  /** @param text the query of a GET, or the body of a POST (`application/x-www-form-urlencoded`). It is not validated */
  navigate(text: string, cookie: Parameters<Id, "cookie">): Reply<Id> | Promise<Reply<Id>>;
};
export type Handlers = {
  [Id in OperationId]:
    | Handler<Id>
    | (true extends IsOptional<Id> | IsOpen<Id> | IsFor<Id, "clientAuth"> ? GuardingHandler<Id> : never)
    | ([SchemeOf<Id>] extends [never] ? NavigationHandler<Id> : never);
};

type SchemeOf<Id extends OperationId> = (typeof security)[Id][number] extends infer Requirement
  ? Requirement extends unknown
    ? keyof Requirement
    : never
  : never;
type PrincipalOf<Id extends OperationId> = [SchemeOf<Id>] extends [never]
  ? undefined
  :
      | ("basicAuth" extends SchemeOf<Id> ? PasswordPrincipal : never)
      | ("bearerAuth" extends SchemeOf<Id> ? TokenPrincipal : never)
      | ("apiKeyAuth" extends SchemeOf<Id> ? ApiKeyPrincipal : never)
      | ("clientAuth" extends SchemeOf<Id> ? ClientPrincipal : never)
      | (IsOptional<Id> extends true ? undefined : never);
type IsFor<Id extends OperationId, Name extends Scheme> = Name extends SchemeOf<Id> ? true : false;
type IsOpen<Id extends OperationId> = [SchemeOf<Id>] extends [never] ? true : false;
/** The requirement `{}`: the operation also serves requests without credentials. */
type IsOptional<Id extends OperationId> = true extends (
  (typeof security)[Id][number] extends infer Requirement
    ? Requirement extends unknown
      ? keyof Requirement extends never
        ? true
        : false
      : never
    : never
)
  ? true
  : false;

type RequestBody<Id extends OperationId> = operations[Id] extends { requestBody: { content: infer Content } }
  ? Content[keyof Content]
  : operations[Id] extends { requestBody?: { content: infer Content } }
    ? Content[keyof Content] | undefined
    : undefined;
type Parameters<Id extends OperationId, Location extends "path" | "query" | "header" | "cookie"> = Exclude<
  operations[Id]["parameters"][Location],
  undefined
>;

type SuccessStatus<Id extends OperationId> =
  | (keyof operations[Id]["responses"] & (200 | 201 | 202 | 204 | 303))
  // A form with a message.
  | (operations[Id]["responses"] extends { 400: { content: { "text/html": string } } } ? 400 : never);

/** The headers that a handler has to return: not those that the contract fixes with `const`, the request id or negotiation. */
type HeadersPart<Response, Negotiated extends string = never> = Response extends { headers: infer Declared }
  ? keyof HandlersHeaders<Declared, Negotiated> extends never
    ? { headers?: never }
    : { headers: HandlersHeaders<Declared, Negotiated> }
  : never;
type HandlersHeaders<Declared, Negotiated extends string> = OptionalHeaders<Declared> & {
  [Name in keyof Declared as string extends Name
    ? never
    : Name extends "X-Request-Id" | "Vary" | "Content-Encoding" | "Set-Cookie" | Negotiated
      ? never
      : IsLiteral<Declared[Name]> extends true
        ? never
        : Name]: Declared[Name];
};
type OptionalHeaders<Declared> = {
  [Name in keyof Declared as string extends Name ? never : Name extends "Set-Cookie" ? Name : never]?: string;
};
type IsLiteral<Value> = string extends Value ? false : Value extends string ? true : false;

/** If there are several media types, the handler returns a body for each. Negotiation sends the one that `Accept` prefers. */
type BodyPart<Response> = Response extends { content: infer Content }
  ? { body: IsUnion<keyof Content> extends true ? Content : Content[keyof Content] }
  : { body?: never };
type IsUnion<Value, Whole = Value> = Value extends unknown ? ([Whole] extends [Value] ? false : true) : never;
