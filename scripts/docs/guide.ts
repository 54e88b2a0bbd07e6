/**
 * The guide beside the reference: the chapters of docs/ in the order of their names, with what can be known from
 * elsewhere put in where a chapter says so.
 */
import { readdir, readFile } from "node:fs/promises";
import { parse } from "yaml";
import { problems } from "../../src/problems/problems.ts";
import { type Contract, linkTo, operationsOf } from "./contract.ts";

/** @property name the last part of its place on the page: `1-first-call.md` is at `#/first-call` */
export type Chapter = { name: string; title: string; text: string };

const folder = "docs";

export async function readGuide(contract: Contract): Promise<Chapter[]> {
  const files = (await readdir(folder)).filter((name) => /^\d-.+\.md$/.test(name)).sort();
  const generated: Record<string, string> = { problems: catalogue(), workflows: await walkThroughs(contract) };
  return Promise.all(
    files.map(async (file) => {
      const [, name = ""] = /^\d-(.+)\.md$/.exec(file) ?? [];
      const [, title = "", text = ""] = /^# (.+)\n([\s\S]+)$/.exec(await readFile(`${folder}/${file}`, "utf8")) ?? [];
      return {
        name,
        title,
        text: (await withDiagrams(linked(contract, name, text))).replace(/^<!-- (\w+) -->$/gm, put),
      };
    }),
  );

  function put(_: string, what: string): string {
    const text = generated[what];
    if (text === undefined) throw new Error(`There is nothing to put in for ${what}.`);
    return text;
  }
}

/** Every problem with what it means and what to do. */
function catalogue(): string {
  const entries = Object.entries(problems);
  const rows = entries.map(([slug, { status, title }]) => `| ${status} | [\`${slug}\`](#/errors/${slug}) | ${title} |`);
  const sections = entries.map(
    ([slug, { status, title, meaning, remedy }]) =>
      `## ${slug}\n\n**${status} · ${title}.** ${meaning}\n\n**What to do.** ${remedy}\n`,
  );
  return `| status | problem | title |\n|---|---|---|\n${rows.join("\n")}\n\n${sections.join("\n")}`;
}

type Workflow = { workflowId: string; summary?: string; description?: string; steps: Step[] };
type Step = { stepId: string; description?: string; operationId?: string; successCriteria?: { condition: string }[] };

/** The workflows of the Arazzo document, step by step, each with the operation and the status to expect. */
async function walkThroughs(contract: Contract): Promise<string> {
  const { workflows } = parse(await readFile("workflows.arazzo.yaml", "utf8")) as { workflows: Workflow[] };
  return workflows
    .map(({ workflowId, summary = workflowId, description = "", steps }) => {
      const items = steps.map((step, index) => `${index + 1}. ${stepInWords(contract, step)}`);
      return `## ${summary}\n\n${description}\n\n${items.join("\n")}\n`;
    })
    .join("\n");
}

function stepInWords(contract: Contract, { description, stepId, operationId, successCriteria = [] }: Step): string {
  const id = operationId?.split(".").at(-1);
  const found = operationsOf(contract).find(({ operation }) => operation.operationId === id);
  const status = successCriteria.map(({ condition }) => /^\$statusCode == (\d+)$/.exec(condition)?.[1]).find(Boolean);
  const call = found && `[\`${found.method.toUpperCase()} ${found.path}\`](${linkTo(found.operation)})`;
  return `${call ?? stepId}${status ? ` → ${status}` : ""}. ${description ?? ""}`;
}

/**
 * A chapter is read in docs/, too, so its links are made for there: to another chapter, to `openapi.yaml#createUser`
 * for an operation, or to a file of the project that the page can only name.
 */
function linked(contract: Contract, name: string, text: string): string {
  return text.replace(
    /(?<!!)\[([^\]]+)\]\(([^)#:]*)#?([^):]*)\)/g,
    (link, words: string, file: string, part: string) => {
      const [, chapter] = /^\d-(.+)\.md$/.exec(file) ?? [];
      if (chapter !== undefined) return `[${words}](#/${chapter}${part && `/${part}`})`;
      if (file === "" && part !== "") return `[${words}](#/${name}/${part})`;
      if (file === "../openapi.yaml" && part === "") return `[${words}](openapi.yaml)`;
      if (file === "../openapi.yaml") return `[${words}](${linkToOperation(contract, part)})`;
      return file.startsWith("../") ? words : link;
    },
  );
}

function linkToOperation(contract: Contract, id: string): string {
  const found = operationsOf(contract).find(({ operation }) => operation.operationId === id);
  if (!found) throw new Error(`The guide speaks of an operation that is not there: ${id}.`);
  return linkTo(found.operation);
}

/** Pictures become part of the page, where they take its colours. */
async function withDiagrams(text: string): Promise<string> {
  let result = text;
  for (const [image, alternative = "", file = ""] of text.matchAll(/!\[([^\]]+)\]\((\S+\.svg)\)/g)) {
    const svg = await readFile(`${folder}/${file}`, "utf8");
    const label = alternative.replaceAll('"', "&quot;").replace(/\s+/g, " ");
    const inline = svg
      .replace("<svg ", `<svg class="diagram" role="img" aria-label="${label}" `)
      .replace(/\s*\n\s*/g, " ");
    result = result.replace(image, inline.trim());
  }
  return result;
}
