// What Redoc leaves out for those who do not use a mouse or do not see the page. It draws its parts anew at any time.
const attributes = {
  main: { tabindex: "-1" },
  ".menu-content": { role: "navigation", "aria-label": "Contents" },
  '[data-testid="search-trigger"]': { role: "button", tabindex: "0", "aria-label": "Search" },
  '[data-testid="search-dialog"]': { role: "dialog", "aria-modal": "true", "aria-label": "Search" },
  '[data-testid="search-dialog"] input': { "aria-label": "Search the guide and the reference" },
  '[data-testid="search-dialog"] header button': { "aria-label": "Clear" },
  '[data-testid="floating-button"]': { "aria-label": "Contents" },
};
const complete = () => {
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
