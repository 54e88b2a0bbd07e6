/** The problems that the contract declares for each operation, and errors for responses that are not from Latchkey. */
import type { FetchResponse } from "openapi-fetch";
import type { components, operations } from "./generated/openapi.ts";

/** A problem (RFC 9457). Distinguish problems by `type`, never by `title` or `detail`. */
export type Problem = components["schemas"]["Problem"];

export type OperationId = keyof operations;

/** The result of a call: `data`, or an `error` that the contract declares for the operation. */
export type Result<Id extends OperationId> = FetchResponse<operations[Id], Record<never, never>, `${string}/${string}`>;

/** The problems that the contract declares for an operation. */
export type ProblemOf<Id extends OperationId> = NonNullable<Result<Id>["error"]>;

/** The last part of a problem's `type`, such as `token-expired`. */
export type Slug<P extends Problem = Problem> = P extends { type: `/problems/${infer Last}` } ? Last : never;

/** The slug of a problem, for a `switch` that the compiler checks. */
export const slugOf = <P extends Problem>(problem: P): Slug<P> =>
  problem.type.slice(problem.type.lastIndexOf("/") + 1) as Slug<P>;

/** The seconds in `Retry-After`; `undefined` if the response has none. */
export function retryAfterSeconds({ headers }: Response): number | undefined {
  const value = headers.get("Retry-After") ?? "";
  return /^\d+$/.test(value) ? Number(value) : undefined;
}

/** A problem as an exception: see `unwrap`. */
export class ProblemError<P extends Problem = Problem> extends Error {
  override readonly name = "ProblemError";
  readonly problem: P;
  readonly slug: Slug<P>;
  readonly retryAfterSeconds: number | undefined;

  constructor(problem: P, response: Response) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
    this.slug = slugOf(problem);
    this.retryAfterSeconds = retryAfterSeconds(response);
  }
}

/**
 * Returns the data of a result.
 * @throws {ProblemError} if the result is an error
 */
export function unwrap<R extends { data?: unknown; error?: Problem; response: Response }>(result: R): DataOf<R> {
  if (result.error) throw new ProblemError(result.error, result.response);
  return result.data as DataOf<R>;
}

/** `undefined` for a 204. */
type DataOf<R extends { data?: unknown }> = [NonNullable<R["data"]>] extends [never]
  ? undefined
  : NonNullable<R["data"]>;

/** The response is neither the expected one nor a problem. It may come from a proxy. */
export class UnexpectedAnswerError extends Error {
  override readonly name = "UnexpectedAnswerError";
  readonly response: Response;

  constructor({ method, url }: Request, response: Response, text: string) {
    const type = response.headers.get("Content-Type") ?? "no type";
    super(`${method} ${new URL(url).pathname} was answered with ${response.status}, ${type}: ${text.slice(0, 200)}`);
    this.response = response;
  }
}

/** The service, or a proxy in front of it, redirected a request. The client does not follow: check `baseUrl`. */
export class RedirectError extends Error {
  override readonly name = "RedirectError";

  constructor({ method, url }: Request, options?: ErrorOptions) {
    super(
      `${method} ${new URL(url).pathname} was answered with a redirect, which this client does not follow.`,
      options,
    );
  }
}

/** The problem in a response. Its body can still be read. */
export async function problemIn(response: Response): Promise<Problem | undefined> {
  const body = response.ok ? undefined : parse(await response.clone().text());
  return isProblem(body) ? body : undefined;
}

/** @throws {UnexpectedAnswerError} if the body is not JSON, or an error is neither a problem nor an error of OAuth */
export async function requireLatchkeyResponse(request: Request, response: Response): Promise<void> {
  if (response.status === 204 || response.status === 304) return; // no body
  const text = await response.clone().text();
  const body = parse(text);
  const isEmpty = text === "" && new URL(request.url).pathname.endsWith("/oauth/revoke"); // RFC 7009, section 2.2
  const isExpected = response.ok ? body !== undefined || isEmpty : isProblem(body) || isOAuthError(body);
  if (!isExpected) throw new UnexpectedAnswerError(request, response, text);
}

/**
 * Removes the path of `PUBLIC_URL` from the type of a problem. This client is built from the contract without such a path,
 * and its types promise `/problems/…`.
 * @returns the changed response; `undefined` if no change is needed
 */
export async function withContractType(response: Response): Promise<Response | undefined> {
  const problem = await problemIn(response);
  const type = problem && `/problems/${slugOf(problem)}`;
  if (!problem || problem.type === type) return undefined;
  const { status, statusText, headers, url } = response;
  const replaced = new Response(JSON.stringify({ ...problem, type }), { status, statusText, headers });
  return Object.defineProperty(replaced, "url", { value: url });
}

const isProblem = (body: unknown): body is Problem =>
  typeof body === "object" && body !== null && "type" in body && /\/problems\/[a-z-]+$/.test(String(body.type));

/** An error of `/oauth/…` (RFC 6749, section 5.2). */
const isOAuthError = (body: unknown): boolean =>
  typeof body === "object" &&
  body !== null &&
  "error_uri" in body &&
  /\/problems\/[a-z-]+$/.test(String(body.error_uri));

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
