/** The service's own pages, and what a browser may do on them. */
import { createHash } from "node:crypto";

/**
 * Where the guide and the code samples have the service: where it listens unless told otherwise. Where the page is served by a
 * service, its script puts that one's address in its place, so that the bytes are the same everywhere.
 */
export const sampleOrigin = "http://127.0.0.1:8080";

type ProblemText = { status: number; title: string; meaning: string; remedy: string };

/**
 * What the `type` of a problem leads to.
 * @param docs where the documentation is, seen from the page: relative, so that it does not matter below which path a proxy has both
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

/** A small page without scripts. */
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
 * Scripts run by their hashes and nothing is loaded from elsewhere. Styles need `unsafe-inline`:
 * Redoc writes its own while it runs.
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
