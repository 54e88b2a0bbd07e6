/**
 * Returns the texts of the page whose contrast is below 4.5 to 1 (WCAG 2.2, 1.4.3). The function runs in the browser, so it
 * must not refer to anything outside.
 */
export function faintTexts(): string[] {
  type Colour = [number, number, number, number];
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!canvas) throw new Error("There is no canvas to read colours with.");
  const read = (colour: string): Colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red = 0, green = 0, blue = 0, alpha = 0] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top: Colour, below: Colour): Colour => {
    const mixed = [0, 1, 2].map((index) => (top[index] ?? 0) * top[3] + (below[index] ?? 0) * (1 - top[3]));
    return [mixed[0] ?? 0, mixed[1] ?? 0, mixed[2] ?? 0, 1];
  };
  const background = (element: Element | null): Colour => {
    if (!element) return read(matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#fff");
    const colour = read(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour : over(colour, background(element.parentElement));
  };
  const luminance = (colour: Colour): number => {
    const [red = 0, green = 0, blue = 0] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const faint: string[] = [];
  for (const element of document.querySelectorAll("body *:not(script, style)")) {
    const text = [...element.childNodes].map((node) => (node.nodeType === 3 ? node.textContent?.trim() : "")).join("");
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const below = background(element);
    const { color, fill } = getComputedStyle(element);
    const [darker = 0, lighter = 0] = [over(read(element instanceof SVGElement ? fill : color), below), below]
      .map(luminance)
      .sort((one, other) => one - other);
    const ratio = (lighter + 0.05) / (darker + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
  }
  return faint;
}
