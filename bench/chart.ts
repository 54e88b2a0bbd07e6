/** Draws the figures of a run as bars, in colours that can be read on white and on black. */
import { type BenchmarkReport, type Comparison, number } from "./report.ts";
import { titles } from "./workloads.ts";

const width = 760;
const labels = 230;
const bars = 400;
const line = 20;
const colours = { text: "#7d8590", ours: "#d97706", others: "#5b87b5" };

/** @returns an SVG document */
export function chart({ date, quick, machine, versions, comparisons }: BenchmarkReport): string {
  const marks: string[] = [];
  let y = 24;
  const text = (x: number, content: string, attributes = "") =>
    marks.push(`<text x="${x}" y="${y}" ${attributes}>${escaped(content)}</text>`);

  for (const one of chosen(comparisons)) {
    text(0, `${titles[one.workload]}, requests a second (Node ${one.node})`, 'font-weight="bold"');
    y += line + 2;
    const most = Math.max(...one.results.map(({ perSecond }) => perSecond));
    for (const { name, perSecond } of one.results) {
      const length = Math.max(1, (perSecond / most) * bars);
      const colour = name.startsWith("Latchkey") ? colours.ours : colours.others;
      text(labels - 8, name, 'text-anchor="end"');
      marks.push(
        `<rect x="${labels}" y="${y - 12}" width="${length.toFixed(1)}" height="15" rx="2" fill="${colour}"/>`,
      );
      text(labels + length + 6, number(perSecond));
      y += line;
    }
    y += line / 2;
  }
  text(0, `${machine}, the load included; Postgres ${versions["Postgres"]}; ${date}${quick ? "; a quick run" : ""}`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + 12}" width="${width}" role="img"
  aria-label="Requests a second of Latchkey, its peers and its ceilings" font-family="system-ui, sans-serif" font-size="13" fill="${colours.text}">
${marks.join("\n")}
</svg>
`;
}

/** Token checks on every Node, the other workloads on the newest Node only. */
function chosen(comparisons: Comparison[]): Comparison[] {
  const compared = comparisons.filter(({ byDataVolume, workload }) => !byDataVolume && workload !== "check-basic");
  return compared.filter(
    ({ workload, node }) =>
      workload === "check" || node === compared.findLast((one) => one.workload === workload)?.node,
  );
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
