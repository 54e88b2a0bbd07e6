import type { IncomingMessage, ServerResponse } from "node:http";
import helmet from "helmet";

/** What helmet sets. It is the same for every answer, and so is asked for once. */
export const securityHeaders: readonly (readonly [name: string, value: string])[] = (() => {
  const headers: [string, string][] = [];
  const recorder = { setHeader: (...header: [string, string]) => headers.push(header), removeHeader() {} };
  const protect = helmet({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  protect({} as IncomingMessage, recorder as unknown as ServerResponse, (error) => {
    if (error) throw error;
  });
  return headers;
})();
