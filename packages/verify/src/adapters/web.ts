/** Guards for the Web's `Request` and `Response`: Hono, Next.js, Deno, Bun and others. */
import type { Guard } from "../guard.ts";
import type { Principal } from "../principal.ts";
import { refusalOf } from "./refuse.ts";

/** The caller, `undefined` if the operation is open; or the response to a request that is refused. */
export type Checked =
  | { principal: Principal | undefined; refused?: undefined }
  | { principal?: undefined; refused: Response };

/**
 * Checks a request, for a middleware.
 * @example
 * const { principal, refused } = await check(guard, request);
 * if (refused) return refused;
 */
export async function check(guard: Guard, request: Request): Promise<Checked> {
  const { method, url, headers } = request;
  try {
    const [authorization, fetchDestination] = [headers.get("authorization"), headers.get("sec-fetch-dest")];
    return { principal: await guard.authorize({ method, url, authorization, fetchDestination }) };
  } catch (error) {
    const { status, headers, problem } = refusalOf(error);
    return { refused: new Response(JSON.stringify(problem), { status, headers }) };
  }
}

/**
 * Puts a guard in front of a handler.
 * @example Deno.serve(guarded(guard, (request, principal) => new Response(`Hello, ${principal?.username}!`)))
 */
export const guarded =
  <Rest extends unknown[]>(
    guard: Guard,
    handler: (request: Request, principal: Principal | undefined, ...rest: Rest) => Response | Promise<Response>,
  ) =>
  async (request: Request, ...rest: Rest): Promise<Response> => {
    const { principal, refused } = await check(guard, request);
    return refused ?? handler(request, principal, ...rest);
  };
