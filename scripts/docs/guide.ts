/**
 * The guide: the chapters of docs/ in the order in which docs/README.md links them. Comments such as `<!-- problems -->` are
 * replaced by generated text.
 */
import { readdir, readFile } from "node:fs/promises";
import { parse } from "yaml";
import { problems } from "../../src/problems/catalogue.ts";
import { type Contract, linkTo, operationsOf } from "./contract.ts";

/** @property name the last part of its address on the page: `first-call.md` is `#/first-call` */
export type Chapter = { name: string; title: string; text: string };

const folder = "docs";
const chapterFile = /^([a-z-]+)\.md$/;

/** The welcome page, then every chapter. Throws if docs/README.md does not link a chapter. */
export async function readGuide(contract: Contract): Promise<Chapter[]> {
  const generated: Record<string, string> = { problems: catalogue(), workflows: await walkThroughs(contract) };
  const welcome = await readFile(`${folder}/README.md`, "utf8");
  const listed = [...welcome.matchAll(/^- \[[^\]]+\]\(([a-z-]+\.md)\)/gm)].map(([, file = ""]) => file);
  const chapters = (await readdir(folder)).filter((file) => chapterFile.test(file));
  const unlisted = chapters.filter((file) => !listed.includes(file));
  if (unlisted.length > 0) throw new Error(`docs/README.md does not list ${unlisted.join(", ")}.`);
  return Promise.all(
    ["README.md", ...listed].map(async (file) => {
      const name = file.replace(/\.md$/, "");
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
    if (text === undefined) throw new Error(`Nothing generates <!-- ${what} -->.`);
    return text;
  }
}

/** Every problem, its meaning and its remedy. */
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

/** The workflows of the Arazzo document: each step with its operation and expected status. */
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
 * The links of a chapter work in docs/: to another chapter, to `openapi.yaml#createUser` for an operation, or to a file of the
 * project. On the page, the first two become links to sections, the last becomes text.
 */
function linked(contract: Contract, name: string, text: string): string {
  return text.replace(
    /(?<!!)\[([^\]]+)\]\(([^)#:]*)#?([^):]*)\)/g,
    (link, words: string, file: string, part: string) => {
      const [, chapter] = chapterFile.exec(file) ?? [];
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
  if (!found) throw new Error(`The guide links an operation that does not exist: ${id}.`);
  return linkTo(found.operation);
}

/** Inlines the pictures, so that they use the colours of the page. */
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
