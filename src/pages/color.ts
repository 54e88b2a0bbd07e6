/** Colors with enough contrast (WCAG 2.2). */

/** `#` and six hexadecimal digits. */
export type Color = string;

/** The relative luminance of a color, from 0 for black to 1 for white. */
function luminance(color: Color): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((start) => {
    const channel = Number.parseInt(color.slice(start, start + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** The contrast of two colors, from 1 to 21. */
export function contrast(one: Color, other: Color): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}

/** Black or white: the one that is easier to read on the color. Its contrast is at least 4.58, and AA requires 4.5. */
export const readableOn = (color: Color): Color =>
  contrast(color, "#ffffff") >= contrast(color, "#000000") ? "#ffffff" : "#000000";
