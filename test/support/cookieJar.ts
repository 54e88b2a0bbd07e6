/** The cookies of a browser. */
import type { Received } from "./client.ts";

export type CookieJar = ReturnType<typeof createCookieJar>;

export function createCookieJar() {
  /** By name. */
  const cookies = new Map<string, string>();
  return {
    cookies,
    /** The headers of a request that send them. */
    headers: (): { cookie?: string } =>
      cookies.size === 0 ? {} : { cookie: [...cookies].map((pair) => pair.join("=")).join("; ") },
    /** Keeps the cookies of a response, and forgets those that it deletes. @returns the response */
    keep(answer: Received): Received {
      for (const line of answer.headers["set-cookie"] ?? []) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (/; *max-age=0/i.test(line)) cookies.delete(name);
        else cookies.set(name, value);
      }
      return answer;
    },
  };
}
