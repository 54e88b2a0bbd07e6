import type { Handler } from "../contract/binding.ts";
import type { Contract } from "../contract/contract.ts";
import { Problem, problems } from "../contract/problems.ts";
import { contentSecurityPolicy, type DocsPage, problemPage } from "./pages.ts";

export const getDocs =
  ({ policy, bytes }: DocsPage): Handler<"getDocs"> =>
  () => ({ status: 200, headers: { "Content-Security-Policy": policy }, body: bytes });

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
