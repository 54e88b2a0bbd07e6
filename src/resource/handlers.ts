import type { Handler } from "../openapi/binding.ts";

/** The protected resource of the article. CONTRIBUTING.md, "Add an operation", describes how to add your own. */
export const getResource: Handler<"getResource"> = ({ principal }) => ({
  status: 200,
  body: { data: `Hello, ${principal.username}!` },
});
