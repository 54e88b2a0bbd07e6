/** HTTPS without a proxy: certificate files, protocols, and certificate reload. */
import { once } from "node:events";
import { copyFile, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls, getCiphers } from "node:tls";
import { describe, expect, test } from "vitest";
import { ca, sendRaw } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, secretKey, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const certificates = "test/support/certificates";

/** Copies a certificate and its key to a new folder. */
async function files(name = "one") {
  const folder = await temporaryFolder();
  const cert = join(folder, "cert.pem");
  const key = join(folder, "key.pem");
  await copyFile(`${certificates}/${name}.cert.pem`, cert);
  await copyFile(`${certificates}/${name}.key.pem`, key);
  return { folder, cert, key, settings: { TLS_CERT: cert, TLS_KEY: key } };
}

/** The subject of the certificate that a new connection gets. */
async function shown(url: string, options: ConnectionOptions = {}): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connectTls({ port: Number(port), host: hostname, ca, ...options });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

/** Waits, with a limit, for another process or a timer. */
async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error("it did not happen in 15 s");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Offers every suite of OpenSSL alone. The test certificates have keys of one kind. */
async function expectSoundCiphers(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const negotiate = async (options: ConnectionOptions) => {
    const socket = connectTls({ port: Number(port), host: hostname, ca, ...options });
    await once(socket, "secureConnect");
    const { standardName, version } = socket.getCipher();
    socket.destroy();
    return `${version} ${standardName}`;
  };
  const taken: string[] = [];
  for (const name of getCiphers().filter((name) => !name.startsWith("tls_"))) {
    const only = { maxVersion: "TLSv1.2", ciphers: `${name.toUpperCase()}:@SECLEVEL=0` } as const;
    await negotiate(only).then(
      (cipher) => taken.push(cipher),
      () => {},
    );
  }
  expect(taken.length).toBeGreaterThan(0);
  for (const cipher of taken) expect(cipher).toMatch(/^TLSv1.2 TLS_ECDHE_(RSA|ECDSA)_WITH_(AES_\d+_GCM|CHACHA20)/);
  expect(await negotiate({ minVersion: "TLSv1.3" })).toMatch(/^TLSv1.3 /);
  await expect(negotiate({ maxVersion: "TLSv1.2", ciphers: "AES128-SHA" })).rejects.toThrow(/handshake failure/);
}

describe("with TLS_CERT and TLS_KEY, the service", () => {
  test("speaks HTTPS, with the same answers and the same limits", async () => {
    const service = await startTestService((await files()).settings);
    expect(service.url).toMatch(/^https:/);
    await service.register("miguel");
    const bearer = await service.token("miguel");
    expect((await service.send("GET", "/api/resource", { bearer })).json).toEqual({ data: "Hello, miguel!" });
    expect((await service.send("GET", "/docs")).text).toContain("createUser");
    const twoHosts = "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    expect(await sendRaw(service.url, twoHosts, "GET", "/livez")).toMatchObject({ status: 400 });
    const folded = "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n";
    expect(await sendRaw(service.url, folded, "GET", "/livez")).toMatchObject({ status: 400 });
    const unfinished = await sendRaw(service.url, "GET /livez HTTP/1.1\r\nHost: x\r\n");
    expect(unfinished).toMatchObject({ status: 408, problem: "request-timeout" });
  });

  test("accepts TLS 1.3, and TLS 1.2 only with forward secrecy and authenticated encryption", async () => {
    const { cert, key, settings } = await files();
    const service = await startTestService(settings);
    await expectSoundCiphers(service.url);
    // The same after a reload.
    await copyFile(`${certificates}/other.cert.pem`, cert);
    await copyFile(`${certificates}/other.key.pem`, key);
    await eventually(async () => (await shown(service.url)) === "other.latchkey.test");
    await expectSoundCiphers(service.url);
  });

  test("refuses TLS 1.1, what is not TLS, and unfinished handshakes", async () => {
    const service = await startTestService((await files()).settings);
    expect(await shown(service.url, { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" })).toBe("one.latchkey.test");
    const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" } as const;
    await expect(shown(service.url, old)).rejects.toThrow(/protocol version/);
    const { hostname, port } = new URL(service.url);
    for (const bytes of ["GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", ""]) {
      const started = performance.now();
      const socket = connect(Number(port), hostname, () => socket.write(bytes));
      let read = "";
      socket
        .on("error", () => {})
        .on("data", (chunk) => {
          read += chunk.toString("latin1");
        });
      await once(socket, "close");
      expect(read).not.toContain("HTTP");
      expect(performance.now() - started).toBeLessThan(6_000);
    }
  });

  test("loads a changed pair, however it is changed, and keeps the old one while the new one is invalid", async () => {
    const { folder, cert, key, settings } = await files();
    const service = await startTestService(settings);

    await copyFile(`${certificates}/other.cert.pem`, cert); // its key does not match yet
    await eventually(() => service.log.some((line) => line.includes("cannot be used")));
    expect(await shown(service.url)).toBe("one.latchkey.test");
    expect(service.log.join("")).not.toContain("PRIVATE KEY");

    await copyFile(`${certificates}/other.key.pem`, join(folder, "new"));
    await rename(join(folder, "new"), key);
    await eventually(async () => (await shown(service.url)) === "other.latchkey.test");
    const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" } as const;
    await expect(shown(service.url, old)).rejects.toThrow(/protocol version/);
  });

  test("follows a replaced symbolic link, as in Kubernetes", async () => {
    const { folder } = await files();
    const present = join(folder, "..data");
    for (const name of ["one", "other"]) {
      const { folder: version } = await files(name);
      await symlink(version, join(folder, name));
    }
    await symlink("one", present);
    const service = await startTestService({ TLS_CERT: join(present, "cert.pem"), TLS_KEY: join(present, "key.pem") });
    expect(await shown(service.url)).toBe("one.latchkey.test");
    await symlink("other", join(folder, "..new"));
    await rename(join(folder, "..new"), present);
    await eventually(async () => (await shown(service.url)) === "other.latchkey.test");
  });
});

describe("the start is refused with exit status 78", () => {
  type Files = Awaited<ReturnType<typeof files>>;
  test.each<[string, string, (given: Files) => Promise<unknown>]>([
    ["a certificate that is not there", "TLS_CERT: the file .* cannot be read \\(ENOENT\\)", ({ cert }) => rm(cert)],
    ["a certificate that is none", "TLS_CERT: .* no certificate", ({ cert }) => writeFile(cert, "hunter2")],
    ["a key that is none", "TLS_KEY: .* no private key", ({ key }) => writeFile(key, "hunter2")],
    [
      "the key of another certificate",
      "TLS_KEY: the key in .* is not that of the certificate",
      ({ key }) => copyFile(`${certificates}/other.key.pem`, key),
    ],
  ])("for %s", async (_name, said, spoil) => {
    const given = await files();
    await spoil(given);
    const settings = { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey, ...given.settings };
    const program = runProgram([], settings);
    expect(await program.exit).toBe(78);
    const text = program.stderr.join("\n");
    expect(text).toMatch(new RegExp(said));
    expect(text).toContain(given.folder);
    expect(text).not.toContain("hunter2");
    const key = (await readFile(`${certificates}/other.key.pem`, "utf8")).split("\n")[1] as string;
    expect(text).not.toContain(key);
  });

  test.each(["TLS_CERT", "TLS_KEY"])("for %s alone", async (name) => {
    const program = runProgram([], { [name]: "some.pem" });
    expect(await program.exit).toBe(78);
    expect(program.stderr.join("\n")).toContain("TLS_CERT and TLS_KEY: only one is set");
  });
});
