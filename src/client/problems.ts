/** What can go wrong, as the contract declares it for each operation, and what is no answer of Latchkey at all. */
import type { FetchResponse } from "openapi-fetch";
import type { components, operations } from "../../generated/openapi.ts";

/** A problem (RFC 9457). `type` says which: switch on it, never on `title` or `detail`. */
export type Problem = components["schemas"]["Problem"];

export type OperationId = keyof operations;

/** What a call of an operation gives: `data`, or the `error` that the contract declares for it. */
export type Result<Id extends OperationId> = FetchResponse<operations[Id], Record<never, never>, `${string}/${string}`>;

/** The problems that the contract declares for an operation. */
export type ProblemOf<Id extends OperationId> = NonNullable<Result<Id>["error"]>;

/** The last part of a problem's `type`: `token-expired`. */
export type Slug<P extends Problem = Problem> = P extends { type: `/problems/${infer Last}` } ? Last : never;

/** For a `switch` over what went wrong; the compiler knows which cases there are. */
export const slugOf = <P extends Problem>(problem: P): Slug<P> =>
  problem.type.slice(problem.type.lastIndexOf("/") + 1) as Slug<P>;

/** After how many seconds it makes sense to try again, where the answer says so. */
export function retryAfterSeconds({ headers }: Response): number | undefined {
  const value = headers.get("Retry-After") ?? "";
  return /^\d+$/.test(value) ? Number(value) : undefined;
}

/** A problem for those who would rather catch: see `unwrap`. */
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
 * The data of a result.
 * @throws {ProblemError} where it has none
 */
export function unwrap<R extends { data?: unknown; error?: Problem; response: Response }>(result: R): DataOf<R> {
  if (result.error) throw new ProblemError(result.error, result.response);
  return result.data as DataOf<R>;
}

/** `undefined` for a 204. */
type DataOf<R extends { data?: unknown }> = [NonNullable<R["data"]>] extends [never]
  ? undefined
  : NonNullable<R["data"]>;

/** Somebody else answered, such as a proxy: what came is neither what was asked for nor a problem. */
export class UnexpectedAnswerError extends Error {
  override readonly name = "UnexpectedAnswerError";
  readonly response: Response;

  constructor({ method, url }: Request, response: Response, text: string) {
    const type = response.headers.get("Content-Type") ?? "no type";
    super(`${method} ${new URL(url).pathname} was answered with ${response.status}, ${type}: ${text.slice(0, 200)}`);
    this.response = response;
  }
}

/** The service, or a proxy before it, redirected a request. Its credentials are not sent on: check `baseUrl`. */
export class RedirectError extends Error {
  override readonly name = "RedirectError";

  constructor({ method, url }: Request, options?: ErrorOptions) {
    super(
      `${method} ${new URL(url).pathname} was answered with a redirect, which this client does not follow.`,
      options,
    );
  }
}

/** The problem in an answer, which can still be read afterwards. */
export async function problemIn(response: Response): Promise<Problem | undefined> {
  const body = response.ok ? undefined : parse(await response.clone().text());
  return isProblem(body) ? body : undefined;
}

/** @throws {UnexpectedAnswerError} where the body is not JSON, or an error is no problem */
export async function refuseStrangers(request: Request, response: Response): Promise<void> {
  if (response.status === 204 || response.status === 304) return; // no body
  const text = await response.clone().text();
  const body = parse(text);
  if (response.ok ? body === undefined : !isProblem(body)) throw new UnexpectedAnswerError(request, response, text);
}

/**
 * Where the service has a path in its `PUBLIC_URL`, the type of a problem begins with that path, and the service's own contract
 * says so. This client was built from the contract without one, and its types promise `/problems/…`.
 * @returns a response with such a problem, or `undefined` where nothing has to be replaced
 */
export async function withContractsType(response: Response): Promise<Response | undefined> {
  const problem = await problemIn(response);
  const type = problem && `/problems/${slugOf(problem)}`;
  if (!problem || problem.type === type) return undefined;
  const { status, statusText, headers, url } = response;
  const replaced = new Response(JSON.stringify({ ...problem, type }), { status, statusText, headers });
  return Object.defineProperty(replaced, "url", { value: url });
}

const isProblem = (body: unknown): body is Problem =>
  typeof body === "object" && body !== null && "type" in body && /\/problems\/[a-z-]+$/.test(String(body.type));

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
