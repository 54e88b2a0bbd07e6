/**
 * How a handler is bound to its operation, in types. All of it is derived from generated/: a
 * missing handler, an undeclared status, a forgotten header or a principal that the operation
 * does not have are compile errors (test/promises/binding.test.ts shows each).
 */
import type { operations } from "../../generated/openapi.ts";
import type { security } from "../../generated/security.ts";
import type { PasswordPrincipal, TokenPrincipal } from "../principal.ts";
import type { EncodedBody } from "./encodedBody.ts";

export type OperationId = keyof typeof security & keyof operations;
export type Scheme = "basicAuth" | "bearerAuth";

/** What an operation's handler gets: everything validated, nothing else. */
export type Call<Id extends OperationId> = {
  body: RequestBody<Id>;
  path: Parameters<Id, "path">;
  query: Parameters<Id, "query">;
  principal: PrincipalOf<Id>;
};

/**
 * What an operation's handler may return: a declared success with its headers and its body. Failures are thrown as problems.
 * Where the operation declares a 304, the body is a prepared one, and dispatch decides between the two.
 */
export type Reply<Id extends OperationId> = {
  [Status in SuccessStatus<Id>]: { status: Status } & HeadersPart<operations[Id]["responses"][Status]> &
    (304 extends keyof operations[Id]["responses"]
      ? { body: EncodedBody }
      : BodyPart<operations[Id]["responses"][Status]>);
}[SuccessStatus<Id>];

export type Handler<Id extends OperationId> = (call: Call<Id>) => Reply<Id> | Promise<Reply<Id>>;
export type Handlers = { [Id in OperationId]: Handler<Id> };

type SchemeOf<Id extends OperationId> = (typeof security)[Id][number] extends infer Requirement
  ? Requirement extends unknown
    ? keyof Requirement
    : never
  : never;
type PrincipalOf<Id extends OperationId> = [SchemeOf<Id>] extends [never]
  ? undefined
  :
      | ("basicAuth" extends SchemeOf<Id> ? PasswordPrincipal : never)
      | ("bearerAuth" extends SchemeOf<Id> ? TokenPrincipal : never);

type RequestBody<Id extends OperationId> = operations[Id] extends { requestBody: { content: infer Content } }
  ? Content[keyof Content]
  : undefined;
type Parameters<Id extends OperationId, Place extends "path" | "query"> = Exclude<
  operations[Id]["parameters"][Place],
  undefined
>;

type SuccessStatus<Id extends OperationId> = keyof operations[Id]["responses"] & (200 | 201 | 202 | 204);

/** A header whose value the contract fixes is written by dispatch, and so are the request id and those of a prepared body. */
type HeadersPart<Response> = Response extends { headers: infer Declared }
  ? keyof HandlersHeaders<Declared> extends never
    ? { headers?: never }
    : { headers: HandlersHeaders<Declared> }
  : never;
type HandlersHeaders<Declared> = {
  [Name in keyof Declared as string extends Name
    ? never
    : Name extends "X-Request-Id" | "ETag" | "Vary" | "Content-Encoding"
      ? never
      : IsLiteral<Declared[Name]> extends true
        ? never
        : Name]: Declared[Name];
};
type IsLiteral<Value> = string extends Value ? false : Value extends string ? true : false;

/** Of several media types the handler gives each, by its name, and dispatch sends the one that `Accept` prefers. */
type BodyPart<Response> = Response extends { content: infer Content }
  ? { body: IsUnion<keyof Content> extends true ? Content : Content[keyof Content] }
  : { body?: never };
type IsUnion<Value, Whole = Value> = Value extends unknown ? ([Whole] extends [Value] ? false : true) : never;
