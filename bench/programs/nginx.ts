/**
 * nginx with a file of `FILE_KIB`: alone, or with `FORWARD_AUTH`, the script of Latchkey, which it asks about each request with the
 * location of deploy/protect/nginx.conf. The requests to Latchkey take one worker of nginx and the same connections.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { PORT: port = "", FORWARD_AUTH: script, FILE_KIB: fileKib = "4", ...settings } = process.env;
const latchkeyPort = Number(port) + 1;
const folder = mkdtempSync(join(tmpdir(), "latchkey-bench-nginx-"));

/** From a line of the file to the next one that ends a block of the same depth. */
const block = (begin: string): string => {
  const text = readFileSync("deploy/protect/nginx.conf", "utf8");
  const [, indent = "", found] = new RegExp(`^( *)(${begin} \\{[\\s\\S]*?)^\\1\\}`, "m").exec(text) ?? [];
  if (found === undefined) throw new Error(`deploy/protect/nginx.conf has no ${begin}.`);
  return `${indent}${found}${indent}}`;
};
const guarded = script
  ? `${block("location = /latchkey").replace(/\?audience=[^;]*/, "")}
    location = /page.json { auth_request /latchkey; root ${folder}; }
    location ~ ^/(api|readyz) { proxy_pass http://latchkey; }`
  : `location = /page.json { root ${folder}; }
    location = /readyz { return 204; }`;
writeFileSync(join(folder, "page.json"), JSON.stringify({ page: "Hello".padEnd(Number(fileKib) * 1_024 - 11, ".") }));
const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`);
writeFileSync(
  join(folder, "nginx.conf"),
  `daemon off; master_process off; pid nginx.pid; error_log error.log;
  events { worker_connections 1024; }
  http {
    access_log off; keepalive_requests 1000000; ${temporary.join(" ")}
    ${block("upstream latchkey").replace("127.0.0.1:8080", `127.0.0.1:${latchkeyPort}`)}
    server {
      listen 127.0.0.1:${port};
      ${guarded}
    }
  }`,
);

const children: ChildProcess[] = [];
// The shell ends nginx when this process ends, however that happens: its standard input is then closed.
const command = `nginx -p ${folder} -c nginx.conf -e error.log & read -r _; kill $!; wait`;
const env = { ...settings, PATH: `${process.env["PATH"]}:/usr/sbin` };
children.push(spawn("sh", ["-c", command], { env, stdio: ["pipe", "ignore", "inherit"] }));
if (script) {
  const latchkey = { ...settings, PORT: String(latchkeyPort), TRUST_PROXY: "127.0.0.1" };
  children.push(spawn(process.execPath, [script], { env: latchkey, stdio: ["pipe", "ignore", "inherit"] }));
}
process.once("SIGINT", () => {
  const [nginx, latchkey] = children;
  nginx?.stdin?.end();
  latchkey?.kill("SIGINT");
});
let running = children.length;
for (const child of children) {
  child.once("exit", () => {
    running -= 1;
    if (running === 0) rmSync(folder, { recursive: true, force: true });
  });
}
