import { basePath } from "../http/basePath.ts";
import type { Handler } from "../openapi/binding.ts";
import { problems } from "../problems/catalogue.ts";
import { Problem } from "../problems/problems.ts";
import type { Documentation } from "./documentation.ts";
import { indexOf } from "./index.ts";
import { contentSecurityPolicy, problemPage } from "./pages.ts";

/** `undefined` with `DOCUMENTATION=off`. Then all of these operations except the index return a 404. */
type Available = Documentation | undefined;

/** Serves `/` and `/api`, as JSON for programs and as a page for browsers. */
export function getIndex(
  documentation: Available,
  publicUrl: string | undefined,
): Handler<"getIndex"> & Handler<"getApiIndex"> {
  const { json, page } = indexOf(basePath(publicUrl), documentation !== undefined);
  const headers = { "Content-Security-Policy": contentSecurityPolicy(page) };
  return () => ({ status: 200, headers, body: { "application/json": json, "text/html": page } });
}

export const getDocs =
  (documentation: Available): Handler<"getDocs"> =>
  () => {
    const { page, policy } = required(documentation);
    return { status: 200, headers: { "Content-Security-Policy": policy }, body: page };
  };

export const getOpenapiYaml =
  (documentation: Available): Handler<"getOpenapiYaml"> =>
  async () => ({ status: 200, body: await required(documentation).yaml() });

export const getOpenapiJson =
  (documentation: Available): Handler<"getOpenapiJson"> =>
  async () => ({ status: 200, body: await required(documentation).json() });

/** Renders the page for each request, because it is short. */
export const getProblem =
  (documentation: Available): Handler<"getProblem"> =>
  ({ path: { slug } }) => {
    required(documentation);
    const problem = Object.hasOwn(problems, slug) ? problems[slug as keyof typeof problems] : undefined;
    if (!problem) throw new Problem("not-found");
    const page = problemPage(slug, problem);
    return { status: 200, headers: { "Content-Security-Policy": contentSecurityPolicy(page) }, body: page };
  };

function required(documentation: Available): Documentation {
  if (!documentation) throw new Problem("not-found");
  return documentation;
}
