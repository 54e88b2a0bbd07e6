/** Newline-delimited JSON: a JSON object per line. */
import { type Entry, maxEntryBytes } from "./entry.ts";

const lineBreak = 0x0a;

/** An empty line is skipped. A line that is not JSON is refused, and the next one is read. */
export async function* readNdjson(input: AsyncIterable<Buffer>): AsyncGenerator<Entry> {
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  let line = 0;
  for await (const bytes of linesOf(input)) {
    line += 1;
    if (bytes.length > maxEntryBytes) {
      yield { line, text: "", refusal: `has more than ${maxEntryBytes} bytes` };
      continue;
    }
    let text = bytes.toString();
    try {
      text = utf8.decode(bytes).replace(/\r$/, "");
      if (text !== "") yield { line, text, record: JSON.parse(text) as unknown };
    } catch (error) {
      // The message of JSON.parse repeats a part of the line.
      yield { line, text, refusal: error instanceof SyntaxError ? "is not JSON" : "is not UTF-8" };
    }
  }
}

/** The lines without their line breaks. Of a line that is too long, one byte more than the maximum remains. */
async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(lineBreak); end >= 0; end = chunk.indexOf(lineBreak, start)) {
      yield Buffer.concat([rest, chunk.subarray(start, end)]);
      rest = Buffer.alloc(0);
      start = end + 1;
    }
    rest = Buffer.concat([rest, chunk.subarray(start)]).subarray(0, maxEntryBytes + 1);
  }
  if (rest.length > 0) yield rest;
}
