/** Problems as pages. */
import type { Problem, ProblemBody, RequestError } from "../problems/problems.ts";
import { html } from "./html.ts";
import type { Layout, Page } from "./layout.ts";
import { texts } from "./texts.ts";

/** @returns a function that renders the body of a problem as a page */
export const renderError =
  (layout: Layout) =>
  (problem: Problem, { instance, errors = [], detail }: ProblemBody): Page => {
    const isExpired = errors.some(
      (error) => "parameter" in error && ["authorization", "token"].includes(error.parameter),
    );
    const { title, text } = isExpired ? texts.expired : textsOf(problem);
    const { rateLimit, status, slug } = problem;
    const remaining = rateLimit && texts.retryAfter(rateLimit.retryAfterSeconds);
    // People cannot do anything about the parts of a request that has expired.
    const faults = isExpired ? [] : errors.map((error) => html`<li>${partOf(error)} ${error.detail}</li>\n`);
    return layout({
      title,
      problem: slug,
      main: html`<p role="alert">${text} ${remaining}</p>
${faults.length > 0 ? html`<ul class="faint">\n${faults}</ul>` : undefined}
${status === 400 && detail !== undefined ? html`<p class="faint">${detail}</p>` : undefined}
<p class="faint">${texts.reference(instance.replace("urn:uuid:", ""))}</p>`,
    });
  };

function textsOf({ slug, status }: Problem): { title: string; text: string } {
  if (status === 503) return texts.unavailable;
  const known: Partial<Record<string, { title: string; text: string }>> = texts.problems;
  return known[slug] ?? texts.failure;
}

/** An attacker can choose the name of an undeclared parameter in a link. The page must not show it as a message of the service. */
const plainName = /^[a-z_]{1,24}$/;

const partOf = (error: RequestError): string => {
  if (!("parameter" in error)) return "header" in error ? error.header : texts.form;
  return plainName.test(error.parameter) ? error.parameter : texts.parameter;
};
