/** The documentation's own copy of the contract, with a guide before the reference and code samples in it. */
import { codeSamples } from "./codeSamples.ts";
import { type Contract, operationsOf, type Response } from "./contract.ts";
import type { Chapter } from "./guide.ts";

export function documentFor(contract: Contract, [welcome, ...chapters]: Chapter[]): Contract {
  const document = structuredClone(contract);
  document.info.description = welcome?.text ?? "";
  document["x-tagGroups"] = [
    { name: "Guide", tags: chapters.map(({ name }) => name) },
    { name: "Reference", tags: contract.tags.map(({ name }) => name) },
  ];
  document.tags.push(
    // Redoc gives the page's title level 1 and a tag level 2, so what is in it begins with level 3.
    ...chapters.map(({ name, title, text }) => ({
      name,
      "x-displayName": title,
      description: text.replace(/^## /gm, "### "),
    })),
  );
  for (const { method, path, operation } of operationsOf(document)) {
    operation["x-codeSamples"] = codeSamples(contract, method, path, operation);
  }
  for (const response of Object.values(document.components.responses)) response.description += problemLinks(response);
  return document;
}

/** An answer that is a problem leads to what the guide says about it. */
function problemLinks({ content }: Response): string {
  const parts = content?.["application/problem+json"]?.schema?.allOf ?? [];
  const types = parts.flatMap(({ properties }) => properties?.["type"]?.enum ?? properties?.["type"]?.const ?? []);
  const links = types.map((type) => type.replace(/^\/problems\/(.+)$/, "[`$1`](#/errors/$1)"));
  return links.length > 0 ? ` Problems: ${links.join(", ")}.` : "";
}
