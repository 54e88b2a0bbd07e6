/** The frame of every page: its head, its style, and the Content-Security-Policy. */
import { createHash } from "node:crypto";
import type { ProblemSlug } from "../problems/catalogue.ts";
import { type Color, readableOn } from "./color.ts";
import { type Html, html } from "./html.ts";
import { texts } from "./texts.ts";

/** From the settings of the service. */
export type PageSettings = {
  name: string;
  /** An `https` URL. */
  logoUrl: string | undefined;
  /** Of buttons. */
  color: Color;
};

/** A page, as a handler returns it with a status. */
export type Page = { headers: { "Content-Security-Policy": string }; body: string };

export type Content = {
  title: string;
  main: Html;
  /** What a form of the page may redirect to besides this service: `https://app.example`, or a scheme such as `app:`. */
  formTarget?: string | undefined;
  /** The problem that the page shows. */
  problem?: ProblemSlug | undefined;
};

export type Layout = (content: Content) => Page;

export function createLayout({ name, logoUrl, color }: PageSettings): Layout {
  const style = styleOf(color);
  const styleHash = createHash("sha256").update(style).digest("base64");
  const images = logoUrl === undefined ? "'none'" : new URL(logoUrl).origin;
  const brand = logoUrl === undefined ? html`${name}` : html`<img src="${logoUrl}" alt="${name}" height="48">`;

  return ({ title, main, formTarget, problem }) => {
    const shownTitle = problem ? texts.errorTitle(title) : title;
    const page = html`<!doctype html>
<html lang="${texts.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${problem && html`<meta name="problem" content="${problem}">\n`}<title>${shownTitle} · ${name}</title>
<style>`;
    const policy = [
      "default-src 'none'",
      `style-src 'sha256-${styleHash}'`,
      `img-src ${images}`,
      `form-action 'self'${formTarget === undefined ? "" : sourceOf(formTarget)}`,
      "frame-ancestors 'none'",
      "base-uri 'none'",
    ];
    const rest = html`</style>
</head>
<body>
<main>
<p class="brand">${brand}</p>
<h1>${title}</h1>
${main}
</main>
</body>
</html>
`;
    return { headers: { "Content-Security-Policy": policy.join("; ") }, body: page.markup + style + rest.markup };
  };
}

/**
 * A source of a Content-Security-Policy. Browsers apply `form-action` to the redirects that follow a form as well. A policy cannot name
 * an IPv6 address, so that its scheme is allowed instead.
 */
function sourceOf(target: string): string {
  const source = target.replace(/\/\/\[.*/, "");
  return /^[a-z][a-z0-9+.-]*:(\/\/[a-z0-9.-]+(:[0-9]+)?)?$/i.test(source) ? ` ${source}` : "";
}

/** The browser's own widgets follow `color-scheme`. Text has the contrast of WCAG AA in both schemes, for every `color`. */
const styleOf = (color: Color): string => `
:root {
  color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif;
  --page: #f4f4f5; --card: #fff; --text: #18181b; --faint: #52525b; --edge: #71717a; --error: #b91c1c;
}
@media (prefers-color-scheme: dark) {
  :root { --page: #18181b; --card: #27272a; --text: #fafafa; --faint: #c4c4cc; --edge: #8b8b95; --error: #fca5a5; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); overflow-wrap: anywhere; }
main {
  max-width: 26rem; margin: 10vh auto 2rem; padding: 2rem; background: var(--card); border-radius: .75rem;
  box-shadow: 0 1px 3px #0003;
}
.brand { margin: 0 0 1.5rem; font-weight: 600; }
.brand img { display: block; max-width: 100%; object-fit: contain; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; }
p, ul { margin: .5rem 0; }
ul { padding-left: 1.25rem; }
form { margin: 1.25rem 0 1rem; }
label { display: block; margin-top: 1rem; font-weight: 600; }
input {
  display: block; width: 100%; margin-top: .25rem; padding: .6rem .75rem; font: inherit;
  color: inherit; background: var(--card); border: 1px solid var(--edge); border-radius: .5rem;
}
input[aria-invalid] { border: 2px solid var(--error); }
input.code { font: 1.25rem/1.5 ui-monospace, monospace; letter-spacing: .1em; text-transform: uppercase; }
button {
  display: block; width: 100%; margin-top: 1.25rem; padding: .7rem; font: inherit; font-weight: 600; cursor: pointer;
  color: ${readableOn(color)}; background: ${color}; border: 1px solid var(--edge); border-radius: .5rem;
}
button.other { margin-top: .75rem; color: inherit; background: none; }
a { color: inherit; text-underline-offset: .2em; }
:focus-visible { outline: 3px solid var(--text); outline-offset: 2px; }
.faint { color: var(--faint); font-size: .9rem; }
.error { padding: .6rem .75rem; color: var(--error); border: 1px solid; border-radius: .5rem; font-weight: 600; }
.links { margin: 1.5rem 0 0; }
code { font-family: ui-monospace, monospace; }
@media (max-width: 30rem) {
  body { background: var(--card); }
  main { margin: 0 auto; padding: 1.5rem 1.25rem; border-radius: 0; box-shadow: none; }
}
`;
