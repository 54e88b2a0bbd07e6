/** A sequence of requests as curl commands. A value that a response returned and a later request uses is a variable. */
import type { Request } from "./http.ts";

export type SentRequest = {
  request: Request;
  /**
   * The values of its response, each with the JavaScript expression that reads it from the JSON, or the regular expression that finds it
   * in the head or the body.
   */
  returned: ({ value: string } & ({ accessor: string } | { pattern: string }))[];
};

/** A shorter value may occur in a request for another reason. The code that a device shows has 9 characters. */
const minimumLength = 9;
const input = 'require("node:fs").readFileSync(0)';

/** Returns one or two lines for each request, for a POSIX shell with curl and node. */
export function curlLines(url: string, sentRequests: SentRequest[]): string[] {
  const variables = new Map<string, string>();
  return sentRequests.flatMap((sendRequest, index) => {
    const line = curlLine(url, sendRequest.request, variables);
    const later = sentRequests.slice(index + 1).map(({ request }) => textOf(request));
    const known = textOf(sendRequest.request);
    const used = sendRequest.returned.filter(({ value }) => {
      return value.length >= minimumLength && !variables.has(value) && !known.includes(value);
    });
    const needed = used.filter(({ value }, at) => {
      return used.findIndex((other) => other.value === value) === at && later.some((text) => text.includes(value));
    });
    if (needed.length === 0) return [line];
    const reads = needed.map((one) => {
      const name = `V${variables.size + 1}`;
      variables.set(one.value, name);
      const expression =
        "accessor" in one ? `JSON.parse(${input})${one.accessor}` : `/${one.pattern}/.exec(${input})[1]`;
      return `${name}=$(printf %s "$A${index}" | node -p '${expression}')`;
    });
    const withHead = needed.some((one) => "pattern" in one) ? line.replace("curl ", "curl -i ") : line;
    return [`A${index}=$(${withHead}); printf '%s\\n' "$A${index}"`, reads.join("; ")];
  });
}

/** Returns the parts of a request that may contain a value, with decoded Basic credentials. */
export function textOf({ target, headers, body }: Request): string {
  const values = headers.map(([name, value]) => (/^authorization$/i.test(name) ? (basicOf(value) ?? value) : value));
  return [target, ...values, body?.toString() ?? ""].join("\n");
}

function curlLine(url: string, { method, target, headers, body }: Request, variables: Map<string, string>): string {
  const quoted = (text: string) => quote(text, variables);
  const parts = ["curl -sg --path-as-is"];
  parts.push(method === "HEAD" ? "--head" : `-X ${method}`);
  const isPlain = target.startsWith("/") && /^[!"$-~]+$/.test(target);
  if (!isPlain) parts.push(`--request-target ${quoted(target)}`);
  const own = ["Accept", "User-Agent", ...(body ? ["Content-Type"] : [])];
  for (const name of own)
    if (!headers.some(([given]) => given.toLowerCase() === name.toLowerCase())) parts.push(`-H '${name}:'`);
  for (const [name, value] of headers) {
    const basic =
      name === "Authorization" && headers.filter(([other]) => other === name).length === 1 ? basicOf(value) : undefined;
    if (basic !== undefined) parts.push(`-u ${quote(basic, variables, "utf8")}`);
    else parts.push(`-H ${quoted(value === "" ? `${name};` : `${name}: ${value}`)}`);
  }
  if (!body) return [...parts, quoted(url + (isPlain ? target : "/"))].join(" ");
  const text = body.toString();
  const isText = Buffer.from(text).equals(body) && !/\p{Cc}/u.test(text);
  if (isText) parts.push(`--data-raw ${quote(text, variables, "utf8")}`);
  else parts.push("--data-binary @-");
  parts.push(quoted(url + (isPlain ? target : "/")));
  return isText ? parts.join(" ") : `printf '${octal(body)}' | ${parts.join(" ")}`;
}

/** Returns the username and password of a Basic header, if `curl -u` would send the same header. */
function basicOf(header: string): string | undefined {
  const [, value = ""] = /^Basic ([\w+/]+=*)$/.exec(header) ?? [];
  const text = Buffer.from(value, "base64").toString();
  const isSame = Buffer.from(text).toString("base64") === value && text.includes(":") && !/\p{Cc}/u.test(text);
  return isSame ? text : undefined;
}

/** Quotes for a shell: text in single quotes, variables in double quotes, other bytes through printf. */
function quote(text: string, variables: Map<string, string>, encoding: "latin1" | "utf8" = "latin1"): string {
  for (const [value, name] of variables) {
    const at = text.indexOf(value);
    if (at < 0) continue;
    const [before, after] = [text.slice(0, at), text.slice(at + value.length)];
    return `${quote(before, variables, encoding)}"$${name}"${quote(after, variables, encoding)}`;
  }
  const bytes = Buffer.from(text, encoding);
  if (text === "") return "";
  return bytes.toString() === text ? `'${text.replaceAll("'", "'\\''")}'` : `"$(printf '${octal(bytes)}')"`;
}

const octal = (bytes: Buffer) =>
  [...bytes]
    .map((byte) => {
      const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x25 && byte !== 0x27 && byte !== 0x5c;
      return isPlain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
    })
    .join("");
