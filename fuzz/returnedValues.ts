/** The values that a response returns outside its JSON members: in a redirect, in the form of a page, and in cookies. */
import type { ReceivedResponse } from "../src/openapi/responseValidator.ts";

/** `pattern`: the source of a regular expression whose first group is the value, in the head or the body of the response. */
export type ReturnedValue = { name: string; value: string; pattern: string };

export function formValuesOf({ text, headers }: ReceivedResponse): ReturnedValue[] {
  if (!/html/.test(headers["content-type"]?.[0] ?? "")) return [];
  return [...text.matchAll(/<input type="hidden" name="(\w+)" value="([^"&]*)">/g)].map(
    ([, name = "", value = ""]) => ({
      name,
      value,
      pattern: `name="${name}" value="([^"]*)"`,
    }),
  );
}

/** The parameters of the URL to which the browser is sent: by `Location`, or by the client's own page. */
export function redirectValuesOf({ headers }: ReceivedResponse, redirectUri: unknown): ReturnedValue[] {
  const url = headers["location"]?.[0] ?? (typeof redirectUri === "string" ? redirectUri : "");
  return [...new URLSearchParams(url.slice(url.indexOf("?") + 1))].map(([name, value]) => ({
    name,
    value,
    pattern: `[?&]${name}=([\\w.-]+)`,
  }));
}

/** Returns the cookies that a response sets. An empty one is deleted. */
export function cookiesOf({ headers }: ReceivedResponse): ReturnedValue[] {
  return (headers["set-cookie"] ?? []).map((line) => {
    const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
    return { name, value, pattern: `${name}=([^;]+)` };
  });
}
