/** A real nginx in front of the service. */
import { execFileSync, spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterTest } from "./afterTest.ts";
import { untilListening } from "./ports.ts";
import { temporaryFolder } from "./temporaryFolder.ts";

/** Debian installs nginx in /usr/sbin. */
const searchPath = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` };

/**
 * Starts nginx with these `server` blocks, and stops it after the test.
 * @param port a port of these blocks; the promise resolves when it accepts connections
 * @returns what reads its error log
 */
export async function startNginx(servers: string, port: number): Promise<() => Promise<string>> {
  const prefix = await temporaryFolder();
  await writeFile(join(prefix, "site.conf"), servers);
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`);
  await writeFile(
    join(prefix, "nginx.conf"),
    `daemon off; master_process off; pid nginx.pid; error_log error.log;
     events { worker_connections 1024; }
     http { access_log off; ${folders.join(" ")} include site.conf; }`,
  );
  const args = ["-p", prefix, "-c", "nginx.conf", "-e", "error.log"];
  execFileSync("nginx", [...args, "-t"], { env: searchPath, stdio: "pipe" });
  const nginx = spawn("nginx", args, { env: searchPath, stdio: "ignore" });
  const exit = new Promise((resolve) => nginx.once("exit", resolve));
  afterTest(async () => {
    nginx.kill("SIGTERM");
    await exit;
  });
  await untilListening(port);
  return () => readFile(join(prefix, "error.log"), "utf8");
}
