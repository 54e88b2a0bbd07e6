/** Writes a call in each language, with its standard library only. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates of the samples

export type Call = {
  method: string;
  url: string;
  /** The password of the user miguel, or a token. */
  credential: "password" | "token" | undefined;
  /** Required headers, except for credentials and the media type. */
  headers: Record<string, string>;
  /** The media type, and the JSON value or the parameters of a form. */
  body: { type: string; value: unknown } | undefined;
  answer: "json" | "text" | "nothing";
};

export const formType = "application/x-www-form-urlencoded";

/** The parameters of a form. */
const formOf = ({ body }: Call): [string, string][] | undefined =>
  body?.type === formType ? Object.entries(body.value as Record<string, string>) : undefined;

/** A secret in a body, which is read from an environment variable. */
export class Variable {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

const lines = (...parts: (string | false | undefined)[]): string =>
  parts.filter((part) => part !== false && part !== undefined).join("\n");

export function curl(call: Call): string {
  const { method, url, credential, headers, body: anyBody, answer } = call;
  const form = formOf(call);
  const body = form ? undefined : anyBody;
  const words = [
    ["curl", answer === "nothing" && "-i", method !== (anyBody ? "POST" : "GET") && `-X ${method}`]
      .filter(Boolean)
      .join(" "),
    credential === "password" && '-u "miguel:$PASSWORD"',
    credential === "token" && '-H "Authorization: Bearer $TOKEN"',
    ...Object.entries(headers).map(([name, value]) => `-H ${shellText(`${name}: ${value}`)}`),
    ...(form ?? []).map(([name, value]) => `--data-urlencode ${shellText(`${name}=${value}`)}`),
    body && `-H "Content-Type: ${body.type}" -d @-`,
    url + (body ? " <<EOF" : ""),
  ].filter((word) => typeof word === "string");
  const short = words.join(" ");
  return lines(
    short.length <= 76 ? short : words.join(" \\\n  ").replace("curl \\\n  ", "curl "),
    body && `${hereDocument(body.value)}\nEOF`,
  );
}

/** Quotes a word for the shell. */
const shellText = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** JSON for a here-document, in which the shell expands `$`, backticks and backslashes. */
const hereDocument = (body: unknown): string =>
  literal(body, "", {
    variable: (name) => `"$${name}"`,
    text: (text) => JSON.stringify(text).replace(/[\\$`]/g, "\\$&"),
    key: (name) => JSON.stringify(name),
    lastComma: "",
  });

export function javascript(call: Call): string {
  const { method, url, credential, headers, body, answer } = call;
  const form = formOf(call);
  const proof = { password: "`Basic ${credentials}`", token: "`Bearer ${process.env.TOKEN}`" };
  const json = literal(body?.value, "  ", {
    variable: (name) => `process.env.${name}`,
    key: (name) => (/^[a-z]\w*$/i.test(name) ? name : JSON.stringify(name)),
  });
  // fetch adds the media type of a form.
  const others = [...Object.entries(headers), ...(body && !form ? [["Content-Type", body.type]] : [])];
  const hasHeaders = credential || others.length > 0;
  const read = { json: ", await response.json()", text: ", await response.text()", nothing: "" }[answer];
  const options = lines(
    method !== "GET" && `  method: "${method}",`,
    hasHeaders && "  headers: {",
    credential && `    Authorization: ${proof[credential]},`,
    ...others.map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)},`),
    hasHeaders && "  },",
    body && `  body: ${form ? `new URLSearchParams(${json})` : `JSON.stringify(${json})`},`,
  );
  return lines(
    credential === "password" &&
      'const credentials = Buffer.from(`miguel:${process.env.PASSWORD}`).toString("base64");',
    `const response = await fetch("${url}"${options && `, {\n${options}\n}`});`,
    `console.log(response.status${read});`,
  );
}

export function python(call: Call): string {
  const { method, url, credential, headers, body, answer } = call;
  const form = formOf(call);
  const proof = { password: `f"Basic {credentials}"`, token: `f"Bearer {os.environ['TOKEN']}"` };
  const json = literal(body?.value, "    ", {
    indent: "    ",
    variable: (name) => `os.environ["${name}"]`,
    words: { null: "None", true: "True", false: "False" },
  });
  const others = [...Object.entries(headers), ...(body ? [["Content-Type", body.type]] : [])];
  const hasHeaders = credential || others.length > 0;
  const read = { json: ", json.load(response)", text: ", response.read().decode()", nothing: "" }[answer];
  return lines(
    credential === "password" && "import base64",
    ((body && !form) || answer === "json") && "import json",
    (credential || hasVariable(body?.value)) && "import os",
    form && "import urllib.parse",
    "import urllib.request",
    "",
    credential === "password" && `credentials = base64.b64encode(f"miguel:{os.environ['PASSWORD']}".encode()).decode()`,
    "request = urllib.request.Request(",
    `    "${url}",`,
    method !== "GET" && `    method="${method}",`,
    hasHeaders && "    headers={",
    credential && `        "Authorization": ${proof[credential]},`,
    ...others.map(([name, value]) => `        ${JSON.stringify(name)}: ${JSON.stringify(value)},`),
    hasHeaders && "    },",
    body && `    data=${form ? "urllib.parse.urlencode" : "json.dumps"}(${json}).encode(),`,
    ")",
    "with urllib.request.urlopen(request) as response:",
    `    print(response.status${read})`,
  );
}

export function go(call: Call): string {
  const { method, url, credential, headers, body } = call;
  const form = formOf(call);
  const values = form?.map(([name, value]) => `${JSON.stringify(name)}: {${JSON.stringify(value)}}`).join(", ");
  const reader = form ? "strings.NewReader(form.Encode())" : body ? "bytes.NewReader(body)" : "nil";
  const orFail = "\tif err != nil {\n\t\tlog.Fatal(err)\n\t}";
  const json = literal(body?.value, "\t", {
    indent: "\t",
    variable: (name) => `os.Getenv("${name}")`,
    words: { null: "nil" },
    record: "map[string]any{",
    list: ["[]any{", "}"],
    aligned: true,
  });
  return lines(
    "package main\n\nimport (",
    body && !form && '\t"bytes"\n\t"encoding/json"',
    `\t"fmt"\n\t"io"\n\t"log"\n\t"net/http"\n${form ? '\t"net/url"\n' : ""}\t"os"${form ? '\n\t"strings"' : ""}\n)\n\nfunc main() {`,
    form && `\tform := url.Values{${values}}`,
    body && !form && `\tbody, err := json.Marshal(${json})\n${orFail}`,
    `\trequest, err := http.NewRequest("${method}", "${url}", ${reader})\n${orFail}`,
    credential === "password" && '\trequest.SetBasicAuth("miguel", os.Getenv("PASSWORD"))',
    credential === "token" && '\trequest.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))',
    ...[...Object.entries(headers), ...(body ? [["Content-Type", body.type]] : [])].map(
      ([name, value]) => `\trequest.Header.Set(${JSON.stringify(name)}, ${JSON.stringify(value)})`,
    ),
    `\tresponse, err := http.DefaultClient.Do(request)\n${orFail}`,
    "\tdefer response.Body.Close()\n\tfmt.Println(response.Status)\n\tio.Copy(os.Stdout, response.Body)\n}",
  );
}

/** Whether a value contains a secret. */
const hasVariable = (value: unknown): boolean =>
  value instanceof Variable || (typeof value === "object" && value !== null && Object.values(value).some(hasVariable));

/** The differences between the literals of a language and JSON. */
type Dialect = {
  variable(name: string): string;
  text?(text: string): string;
  key?(name: string): string;
  words?: Record<string, string>;
  record?: string;
  list?: [string, string];
  indent?: string;
  /** Whether values are aligned, as gofmt does. */
  aligned?: boolean;
  lastComma?: "";
};

/** Writes a value as a literal. */
function literal(value: unknown, margin: string, dialect: Dialect): string {
  const { text = JSON.stringify, key = JSON.stringify, indent = "  ", words = {} } = dialect;
  const { record = "{", list = ["[", "]"], lastComma = "," } = dialect;
  if (value instanceof Variable) return dialect.variable(value.name);
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return list[0] + value.map((item) => literal(item, margin, dialect)).join(", ") + list[1];
  if (typeof value !== "object" || value === null) return words[String(value)] ?? String(value);
  if (Object.keys(value).length === 0) return `${record}}`;
  const names = Object.keys(value).map((name) => `${key(name)}:`);
  const width = dialect.aligned ? Math.max(...names.map(({ length }) => length)) : 0;
  const members = Object.values(value).map(
    (member, index) => `${margin}${indent}${names[index]?.padEnd(width)} ${literal(member, margin + indent, dialect)}`,
  );
  return `${record}\n${members.join(",\n")}${lastComma}\n${margin}}`;
}
