#!/usr/bin/env node
// Writes the public keys of Latchkey as PEM files for haproxy.cfg: haproxyKeys.mjs URL FOLDER
// URL is the address of Latchkey. Run it before HAProxy starts, and then every minute: a new key is published six minutes before it
// signs. The exit status is 0 if a file has changed, and HAProxy must be reloaded; 1 if not; 2 after an error.
// haproxyKeys.mjs https://auth.example.com /etc/haproxy/latchkey && systemctl reload haproxy
import { createPublicKey } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** As many as haproxy.cfg names. */
const files = 3;

async function update(url, folder) {
  const response = await fetch(`${url}/.well-known/jwks.json`, {
    redirect: "error",
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok) throw new Error(`${url} responded with ${response.status}.`);
  const { keys } = await response.json();
  const usable = keys.filter(({ kty, crv }) => kty === "EC" && crv === "P-256");
  if (usable.length === 0) throw new Error("There is no ES256 key. Set SIGNING_ALG=ES256.");
  if (usable.length > files)
    throw new Error(`There are ${usable.length} keys. Name more files in haproxy.cfg and here.`);
  const texts = usable.map((key) => createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" }));
  await mkdir(folder, { recursive: true });
  let hasChanged = false;
  for (let index = 0; index < files; index += 1) {
    const file = join(folder, `key-${index + 1}.pem`);
    const text = texts[Math.min(index, texts.length - 1)]; // HAProxy does not start without a file
    if ((await readFile(file, "utf8").catch(() => "")) === text) continue;
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
    hasChanged = true;
  }
  return hasChanged;
}

const [url, folder] = process.argv.slice(2);
if (url === undefined || folder === undefined) {
  console.error("Usage: haproxyKeys.mjs URL FOLDER");
  process.exitCode = 2;
} else {
  try {
    process.exitCode = (await update(url.replace(/\/$/, ""), folder)) ? 0 : 1;
  } catch (error) {
    console.error(`haproxyKeys.mjs: ${error.message}`);
    process.exitCode = 2;
  }
}
