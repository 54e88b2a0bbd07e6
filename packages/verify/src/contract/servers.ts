/** The paths of the `servers` of a document, with which the paths of requests begin. */
import { ContractError, isObject, type Members, member } from "./document.ts";

const maxBasePaths = 50;
const maxUrlLength = 2000;

/**
 * The base path of each server, without a slash at its end. For a variable with an `enum`, each of its values counts; for any
 * other, its default.
 * @param servers the member `servers`; `undefined` or empty is the server `/`
 * @throws {ContractError}
 */
export function basePathsOf(servers: unknown, where: string): string[] {
  if (servers === undefined) return [""];
  if (!Array.isArray(servers)) throw new ContractError([`${where}: servers is not a list.`]);
  if (servers.length === 0) return [""];
  const paths = servers.flatMap((server: unknown, index) => urlsOf(server, `${where}: servers[${index}]`));
  return unique(paths, where);
}

function unique(paths: readonly string[], where: string): string[] {
  const different = [...new Set(paths)];
  if (different.length > maxBasePaths) {
    throw new ContractError([`${where}: servers have more than ${maxBasePaths} different paths.`]);
  }
  return different;
}

function urlsOf(server: unknown, where: string): string[] {
  const url = isObject(server) ? member(server, "url") : undefined;
  if (!isObject(server) || typeof url !== "string") throw new ContractError([`${where} has no url.`]);
  if (url.length > maxUrlLength) throw new ContractError([`${where}.url is longer than ${maxUrlLength} characters.`]);
  let urls = [url];
  for (const name of new Set([...url.matchAll(/\{([^{}]*)\}/g)].map(([, name = ""]) => name))) {
    const values = valuesOf(server, name, where);
    urls = unique(
      urls.flatMap((text) => values.map((value) => text.replaceAll(`{${name}}`, () => value))),
      where,
    );
  }
  return urls.map((text) => pathOf(text, where));
}

function valuesOf(server: Members, name: string, where: string): string[] {
  const variables = member(server, "variables");
  const variable = isObject(variables) ? member(variables, name) : undefined;
  const given = isObject(variable) ? (member(variable, "enum") ?? [member(variable, "default")]) : undefined;
  const isText = (value: unknown): value is string => typeof value === "string";
  if (!Array.isArray(given) || given.length === 0 || !given.every(isText)) {
    throw new ContractError([`${where}.url has {${name}}, for which ${where}.variables has no enum and no default.`]);
  }
  return given;
}

function pathOf(text: string, where: string): string {
  let url: URL;
  if (text.length > maxUrlLength) throw new ContractError([`${where}.url is longer than ${maxUrlLength} characters.`]);
  try {
    // A relative reference is resolved against the place of the document, which is the root of the service.
    url = new URL(text, "http://localhost/");
  } catch (error) {
    throw new ContractError([`${where}.url is not a URL.`], { cause: error });
  }
  if (url.search !== "" || url.hash !== "") throw new ContractError([`${where}.url has a query or a fragment.`]);
  return url.pathname.replace(/\/+$/, "");
}
