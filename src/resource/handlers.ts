import type { Handler } from "../openapi/binding.ts";

/** What is being protected. Put your own beside it: see "Add an operation" in the README. */
export const getResource: Handler<"getResource"> = ({ principal }) => ({
  status: 200,
  body: { data: `Hello, ${principal.username}!` },
});
