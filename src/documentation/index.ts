/** The index at `/` and `/api`: links to the parts of the service. */
import type { components, paths } from "../../generated/openapi.ts";
import { pageOf } from "./pages.ts";

type Index = components["schemas"]["Index"];

/** The path and the link text of each part. */
const parts = {
  documentation: ["/docs", "Guide and reference"],
  openapi: ["/openapi.json", "The OpenAPI contract"],
  users: ["/api/users", "Users: register with a POST"],
  token: ["/api/token", "Token: GET one with your username and password"],
  sessions: ["/api/sessions", "Sessions: sign in with a POST"],
  jwks: ["/.well-known/jwks.json", "Keys that verify tokens"],
  readiness: ["/readyz", "Readiness of this instance"],
} as const satisfies Record<Exclude<keyof Index, "name">, readonly [keyof paths, string]>;
type Part = keyof typeof parts;

/** Parts that a browser can open. The others need credentials or another method. */
const pages: readonly Part[] = ["documentation", "openapi", "jwks", "readiness"];

/**
 * @param base the path of `PUBLIC_URL`, with which links begin
 * @param documented whether there is documentation to link to
 */
export function indexOf(base: string, documented: boolean): { json: Index; page: string } {
  const isServed = (part: Part) => documented || (part !== "documentation" && part !== "openapi");
  const served = (Object.keys(parts) as Part[]).filter(isServed);
  const links = Object.fromEntries(served.map((part) => [part, base + parts[part][0]]));
  const items = served.map((part) => {
    const [path, text] = parts[part];
    // Without PUBLIC_URL the links are relative, because a proxy may add a path that is unknown here.
    const href = base === "" ? path.slice(1) : base + path;
    return `<li>${pages.includes(part) ? `<a href="${href}">${text}</a>` : text} <code>${base}${path}</code></li>`;
  });
  return {
    json: { name: "Latchkey", ...links } as Index,
    page: pageOf("Latchkey", `<h1>Latchkey</h1>\n  <ul>\n    ${items.join("\n    ")}\n  </ul>`),
  };
}
