/** The HTML pages of the service, and their Content-Security-Policy. */
import { createHash } from "node:crypto";

/**
 * The URL of the service in the guide and the code samples: the default address. If a service sends the page, a script in the
 * page replaces this URL by the actual one. So the bytes of the page are the same everywhere.
 */
export const sampleOrigin = "http://127.0.0.1:8080";

type ProblemText = { status: number; title: string; meaning: string; remedy: string };

/**
 * The page at the `type` of a problem.
 * @param docs the relative URL of the documentation, so that the link works below every path of a proxy
 */
export function problemPage(slug: string, { status, title, meaning, remedy }: ProblemText, docs = "../docs"): string {
  return pageOf(
    `${title} · Latchkey`,
    `<p><code>${status} ${slug}</code></p>
  <h1>${title}</h1>
  <p>${meaning}</p>
  <p><strong>What to do.</strong> ${remedy}</p>
  <p><a href="${docs}#/errors">All errors</a> · <a href="${docs}">Guide and reference</a></p>`,
  );
}

/** Renders a small page without scripts. */
export function pageOf(title: string, content: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
  :root { color-scheme: light dark; font: 1.1rem/1.6 system-ui, sans-serif; }
  body { max-width: 38rem; margin: 12vh auto; padding: 0 1.2rem; }
  code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
</style>
<main>
  ${content}
</main>
</html>
`;
}

/**
 * The policy allows scripts by their hashes, and no other origin. Styles need `unsafe-inline`, because Redoc creates its own at
 * run time.
 */
export function contentSecurityPolicy(page: string): string {
  const hashes = [...page.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map(
    ([, script = ""]) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`,
  );
  return [
    "default-src 'none'",
    `script-src ${hashes.join(" ") || "'none'"}`,
    "style-src 'unsafe-inline'",
    "img-src data:",
    "font-src data:",
    "worker-src blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
