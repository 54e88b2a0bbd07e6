/** Problems (RFC 9457). All code that rejects a request throws one of them. */
import type { components } from "../../generated/openapi.ts";
import { type ProblemSlug, problems } from "./catalogue.ts";

export type ProblemBody = components["schemas"]["Problem"];
export type RequestError = components["schemas"]["RequestError"];
export type PasswordRefusal = components["schemas"]["PasswordRefusal"];

/** A limit that was reached. */
export type RateLimit = {
  name: string;
  /** Attempts that the limit allows in its window. */
  quota: number;
  windowSeconds: number;
  /** Until the limit allows another attempt. */
  retryAfterSeconds: number;
};

type ProblemMembers = {
  /** For the client. Not sent with a status of 500 and above. */
  detail?: string;
  errors?: [RequestError, ...RequestError[]];
  reason?: PasswordRefusal;
  /** The scopes that are missing, separated by spaces, for `insufficient-scope`. */
  scope?: string;
  /** The methods of the path, for `method-not-allowed`. */
  allow?: readonly string[];
  /** For `too-many-requests`. */
  rateLimit?: RateLimit;
  /** For the log only. */
  cause?: unknown;
};

/** A failure that the contract declares. `src/openapi/problemWriter.ts` creates its response. */
export class Problem extends Error {
  readonly slug: ProblemSlug;
  readonly status: number;
  readonly #members: ProblemMembers;

  constructor(slug: ProblemSlug, members: ProblemMembers = {}) {
    super(slug, { cause: members.cause });
    this.name = "Problem";
    this.slug = slug;
    this.status = problems[slug].status;
    this.#members = members;
  }

  get allow(): readonly string[] | undefined {
    return this.#members.allow;
  }

  get scope(): string | undefined {
    return this.#members.scope;
  }

  get rateLimit(): RateLimit | undefined {
    return this.#members.rateLimit;
  }

  /**
   * The body of the response.
   * @param base the path of `PUBLIC_URL`. `type` is a relative reference (RFC 9457, section 3.1.1)
   */
  body(requestId: string, base = ""): ProblemBody {
    const { detail, errors, reason, scope } = this.#members;
    return {
      type: `${base}/problems/${this.slug}` as ProblemBody["type"],
      title: problems[this.slug].title,
      status: this.status,
      ...(detail !== undefined && this.status < 500 && { detail }),
      instance: `urn:uuid:${requestId}`,
      ...(errors && { errors }),
      ...(reason && { reason }),
      ...(scope && { scope }),
    };
  }
}

/** An `invalid-request` about one part of the request. */
export const invalidRequest = (error: RequestError): Problem => new Problem("invalid-request", { errors: [error] });
