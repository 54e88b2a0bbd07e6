/** What the adapters have in common. */
import { Refusal } from "../refusal.ts";

/** An unexpected error must not let a request through. It is written to standard error, because only the operator can act on it. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  console.error(error);
  const headers = { "Content-Type": "application/problem+json; charset=utf-8", "Cache-Control": "no-store" };
  return new Refusal({ type: "about:blank", title: "Internal Server Error", status: 500 }, headers, { cause: error });
}
