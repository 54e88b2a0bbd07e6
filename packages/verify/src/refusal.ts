/** Problem details (RFC 9457), as Latchkey responds with. */
export type ProblemDetails = {
  /** A URL that identifies the problem, and that explains it. */
  type: string;
  title: string;
  status: number;
  detail?: string;
  /** The missing scopes, separated by spaces, of a 403 `insufficient-scope`. */
  scope?: string;
};

/** Why a request was refused, and the response to send. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** 401, 403, or 503 while revocations are not known. */
  readonly status: number;
  readonly problem: ProblemDetails;
  /** The headers of the response: `Content-Type`, `Cache-Control`, and where they apply `WWW-Authenticate` and `Retry-After`. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(problem: ProblemDetails, headers: Readonly<Record<string, string>>, options?: ErrorOptions) {
    super(problem.detail ?? problem.title, options);
    this.status = problem.status;
    this.problem = problem;
    this.headers = headers;
  }
}
