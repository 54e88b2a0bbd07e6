/** The certificate of the service and its private key: read at the start, and again when their files change. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { SecureContextOptions } from "node:tls";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { startPoller } from "../lib/poller.ts";

/** How often file contents are compared. Modification times are unreliable: a renamed file or a changed link keeps its time. */
const intervalMs = 2_000;

/** TLS 1.3, and the suites of TLS 1.2 with forward secrecy and authenticated encryption (RFC 9325, section 4.2). */
const protocol: SecureContextOptions = {
  minVersion: "TLSv1.2",
  ciphers: [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
  ].join(":"),
};

export type Certificate = {
  /** Complete, because `setSecureContext` resets missing options. */
  context: SecureContextOptions;
  certFile: string;
  keyFile: string;
};

/**
 * @returns `undefined` if the settings name no files
 * @throws {ConfigError} that names the file and the reason, without any content of the file
 */
export async function readCertificate({ tlsCert, tlsKey }: Pick<Config, "tlsCert" | "tlsKey">) {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const read = (name: string, path: string) =>
    readFile(path).catch((error: NodeJS.ErrnoException) => {
      throw new ConfigError(`${name}: the file ${path} cannot be read (${error.code}).`);
    });
  return parseCertificate({
    certFile: tlsCert,
    cert: await read("TLS_CERT", tlsCert),
    keyFile: tlsKey,
    key: await read("TLS_KEY", tlsKey),
  });
}

type Files = { certFile: string; cert: Buffer; keyFile: string; key: Buffer };

/** @throws {ConfigError} */
function parseCertificate({ certFile, cert, keyFile, key }: Files): Certificate {
  const certificate = parse(`TLS_CERT: the file ${certFile} has no certificate in PEM form.`, () => {
    return new X509Certificate(cert);
  });
  const privateKey = parse(`TLS_KEY: the file ${keyFile} has no private key in PEM form without a passphrase.`, () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new ConfigError(`TLS_KEY: the key in ${keyFile} is not that of the certificate in ${certFile}.`);
  }
  return { context: { cert, key, ...protocol }, certFile, keyFile };
}

function parse<T>(message: string, parseFile: () => T): T {
  try {
    return parseFile();
  } catch {
    throw new ConfigError(message); // without the cause, which could quote the file
  }
}

export type CertificateWatch = {
  /** Reads the files now. */
  reload(): void;
  close(): Promise<void>;
};

/**
 * Reads the files at an interval until `close`, and uses a changed pair. While the files cannot be used, the current pair stays
 * in use; each reason is logged once.
 */
export function watchCertificate(
  current: Certificate,
  use: (context: SecureContextOptions) => void,
  log: Logger,
): CertificateWatch {
  const settings = { tlsCert: current.certFile, tlsKey: current.keyFile };
  let loggedReason = "";
  const poller = startPoller({
    async task() {
      const found = await readCertificate(settings);
      loggedReason = "";
      if (!found || isSame(found, current)) return;
      use(found.context);
      current = found;
      log.info("the certificate was changed");
    },
    intervalMs,
    retry: { firstMs: intervalMs, maxMs: intervalMs },
    onError(error) {
      const { message } = error as Error;
      if (message !== loggedReason) log.warn({ reason: message }, "the changed certificate cannot be used");
      loggedReason = message;
    },
  });
  return { reload: poller.wake, close: poller.close };
}

const isSame = (one: Certificate, other: Certificate) =>
  String(one.context.cert) === String(other.context.cert) && String(one.context.key) === String(other.context.key);
