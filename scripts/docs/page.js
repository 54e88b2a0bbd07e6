// Accessibility attributes that Redoc lacks. They are set again whenever Redoc renders.
const attributes = {
  main: { tabindex: "-1" },
  ".menu-content": { role: "navigation", "aria-label": "Contents" },
  '[data-testid="search-trigger"]': { role: "button", tabindex: "0", "aria-label": "Search" },
  '[data-testid="search-dialog"]': { role: "dialog", "aria-modal": "true", "aria-label": "Search" },
  '[data-testid="search-dialog"] input': { "aria-label": "Search the guide and the reference" },
  '[data-testid="search-dialog"] header button': { "aria-label": "Clear" },
  '[data-testid="floating-button"]': { "aria-label": "Contents" },
};
// Redoc has copy buttons only in the reference.
const codeOfGuide = '[data-component-name="Markdown/Markdown"] pre';
const addCopyButtons = () => {
  for (const code of document.querySelectorAll(codeOfGuide)) {
    if (code.previousElementSibling?.matches(".copy")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy the code");
    code.before(button);
  }
};
const complete = () => {
  addCopyButtons();
  for (const [selector, values] of Object.entries(attributes)) {
    for (const element of document.querySelectorAll(selector)) {
      for (const [name, value] of Object.entries(values)) {
        if (element.getAttribute(name) !== value) element.setAttribute(name, value);
      }
    }
  }
};
new MutationObserver(complete).observe(document.body, { childList: true, subtree: true });
complete();

document.addEventListener("keydown", (event) => {
  if ((event.key === "Enter" || event.key === " ") && event.target.matches('div[role="button"]')) {
    event.preventDefault();
    event.target.click();
  }
});
document.querySelector(".skip").addEventListener("click", () => document.querySelector("main").focus());

// The clipboard API needs TLS or localhost. Elsewhere, copy the selection.
const copy = async (code) => {
  if (navigator.clipboard) return navigator.clipboard.writeText(code.textContent.trimEnd());
  getSelection().selectAllChildren(code);
  if (!document.execCommand("copy")) throw new Error("The browser did not copy.");
  getSelection().removeAllRanges();
};
const announcement = document.querySelector(".announcement");
document.addEventListener("click", async ({ target }) => {
  const button = target.closest?.(".copy");
  if (!button) return;
  const result = await copy(button.nextElementSibling).then(
    () => "Copied",
    () => "Not copied",
  );
  button.textContent = result;
  announcement.textContent = result;
  setTimeout(() => {
    button.textContent = "Copy";
    announcement.textContent = "";
  }, 2_000);
});
