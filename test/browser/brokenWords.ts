/**
 * Returns the words of these elements that are broken across lines. Lines may end with hyphens, slashes and dots. The
 * function runs in the browser, so it must not refer to anything outside.
 */
export function brokenWords(selector: string): string[] {
  const broken = new Set<string>();
  const walker = document.createTreeWalker(document.querySelector("main") ?? document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const element = text.parentElement;
    if (!element?.closest(selector) || !element.checkVisibility()) continue;
    for (const word of (text.textContent ?? "").matchAll(/[\p{L}\p{N}_]+/gu)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = new Set(
        [...range.getClientRects()].filter(({ width }) => width > 0).map(({ top }) => Math.round(top)),
      );
      if (lines.size > 1) broken.add(word[0]);
    }
  }
  return [...broken];
}
