import type { Handler } from "../contract/binding.ts";
import type { Contract } from "../contract/contract.ts";
import { Problem, problems } from "../contract/problems.ts";
import { contentSecurityPolicy, problemPage, sampleOrigin } from "./pages.ts";

/**
 * @param built the page that `npm run build` makes of the contract and the guide
 * @param publicUrl where its code samples shall find the service
 */
export const getDocs = (built: string, publicUrl: string | undefined): Handler<"getDocs"> => {
  const page = built.replaceAll(sampleOrigin, () => publicUrl ?? sampleOrigin);
  const headers = { "Content-Security-Policy": contentSecurityPolicy(page) };
  const body = Buffer.from(page);
  return () => ({ status: 200, headers, body });
};

export const getOpenapiYaml =
  (contract: Contract): Handler<"getOpenapiYaml"> =>
  () => ({ status: 200, body: contract.published.yaml });

export const getOpenapiJson =
  (contract: Contract): Handler<"getOpenapiJson"> =>
  () => ({ status: 200, body: contract.published.document });

export const getProblem: Handler<"getProblem"> = ({ path: { slug } }) => {
  const problem = Object.hasOwn(problems, slug) ? problems[slug as keyof typeof problems] : undefined;
  if (!problem) throw new Problem("not-found");
  const page = problemPage(slug, problem);
  return { status: 200, headers: { "Content-Security-Policy": contentSecurityPolicy(page) }, body: page };
};
