/** The TypeScript client of Latchkey. */
export {
  type AccessTokenOptions,
  basicAuthorization,
  createLatchkeyClient,
  type LatchkeyClient,
  type LatchkeyOptions,
  type PasswordChangeOptions,
  type User,
} from "./client.ts";
export {
  type OperationId,
  type Problem,
  ProblemError,
  type ProblemOf,
  RedirectError,
  type Result,
  retryAfterSeconds,
  type Slug,
  slugOf,
  UnexpectedAnswerError,
  unwrap,
} from "./problems.ts";
export type { RetryBounds } from "./retry.ts";
export type { RefreshRefusal, TokenStorage } from "./session.ts";
