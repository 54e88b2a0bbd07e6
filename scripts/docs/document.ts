/** Adds the guide and the code samples to a copy of the contract, which Redoc renders. */
import { codeSamples } from "./codeSamples.ts";
import { type Contract, isPage, operationsOf, type Response } from "./contract.ts";
import type { Chapter } from "./guide.ts";

export function documentFor(contract: Contract, [welcome, ...chapters]: Chapter[]): Contract {
  const document = structuredClone(contract);
  document.info.description = welcome?.text ?? "";
  document["x-tagGroups"] = [
    { name: "Guide", tags: chapters.map(({ name }) => name) },
    { name: "Reference", tags: contract.tags.map(({ name }) => name) },
  ];
  document.tags.push(
    // On the page, the title is level 1 and a tag is level 2: sections of a chapter must begin with level 3.
    ...chapters.map(({ name, title, text }) => ({
      name,
      "x-displayName": title,
      description: text.replace(/^## /gm, "### "),
    })),
  );
  for (const { method, path, operation } of operationsOf(document)) {
    // Programs do not call the pages for browsers.
    if (!isPage(document, operation)) operation["x-codeSamples"] = codeSamples(contract, method, path, operation);
  }
  for (const response of Object.values(document.components.responses)) response.description += problemLinks(response);
  return document;
}

/** Links from an error response to its problems in the guide. */
function problemLinks({ content }: Response): string {
  const parts = content?.["application/problem+json"]?.schema?.allOf ?? [];
  const types = parts.flatMap(({ properties }) => properties?.["type"]?.enum ?? properties?.["type"]?.const ?? []);
  const links = types.map((type) => type.replace(/^\/problems\/(.+)$/, "[`$1`](#/errors/$1)"));
  return links.length > 0 ? ` Problems: ${links.join(", ")}.` : "";
}
