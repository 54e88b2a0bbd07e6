/** The requests a second of everybody's bearer checks as bars, in colours that can be read on light and dark. */
import { type Figures, rowsOf } from "./report.ts";

const barHeight = 22;
const labelWidth = 150;
const barWidth = 430;
const grey = "#888";

/** @returns an SVG */
export function chart(figures: Figures): string {
  const rows = rowsOf(figures).filter(({ node, work }) => node !== "growth" && work === "bearer");
  const nodes = [...new Set(rows.map(({ node }) => node))];
  const lines: string[] = [];
  let y = 10;
  for (const node of nodes) {
    const ofNode = rows.filter((row) => row.node === node);
    const most = Math.max(...ofNode.map(({ perSecond }) => perSecond));
    y += 20;
    lines.push(`<text x="0" y="${y}" font-weight="bold">Checked requests a second, Node ${node.slice(1)}</text>`);
    y += 10;
    for (const { contender, perSecond } of ofNode) {
      const width = Math.max(1, Math.round((perSecond / most) * barWidth));
      const colour = contender.startsWith("latchkey") ? "#2f81f7" : grey;
      lines.push(
        `<text x="${labelWidth - 8}" y="${y + 15}" text-anchor="end">${contender}</text>`,
        `<rect x="${labelWidth}" y="${y}" width="${width}" height="${barHeight - 6}" fill="${colour}"/>`,
        `<text x="${labelWidth + width + 6}" y="${y + 13}">${Math.round(perSecond).toLocaleString("en")}</text>`,
      );
      y += barHeight;
    }
    y += 8;
  }
  const size = `width="680" height="${y}" viewBox="0 0 680 ${y}"`;
  const style = `font-family="system-ui, sans-serif" font-size="13" fill="${grey}"`;
  const title = "Requests a second of Latchkey, its peers and its ceilings";
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${style} role="img" aria-label="${title}">\n${lines.join("\n")}\n</svg>\n`;
}
