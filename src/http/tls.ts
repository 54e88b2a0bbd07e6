/** The certificate of the service and its key: read at the start, and again whenever their files change. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { SecureContextOptions } from "node:tls";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { ConfigError } from "../errors.ts";

/** The contents of both files decide, not their times: a renamed file or an exchanged link may keep its time. */
const lookEveryMs = 2_000;

/** TLS 1.3, and of TLS 1.2 what has forward secrecy and authenticated encryption (RFC 9325, section 4.2). */
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
  /** What `setSecureContext` takes, which forgets whatever it is not told again. */
  context: SecureContextOptions;
  certFile: string;
  keyFile: string;
};

/**
 * @returns `undefined` where the settings name none
 * @throws {ConfigError} naming the file that cannot be used, and why; never what is in it
 */
export async function readCertificate({ tlsCert, tlsKey }: Pick<Config, "tlsCert" | "tlsKey">) {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const read = (name: string, path: string) =>
    readFile(path).catch((error: NodeJS.ErrnoException) => {
      throw new ConfigError(`${name}: the file ${path} cannot be read (${error.code}).`);
    });
  return usable(tlsCert, await read("TLS_CERT", tlsCert), tlsKey, await read("TLS_KEY", tlsKey));
}

/** @throws {ConfigError} */
function usable(certFile: string, cert: Buffer, keyFile: string, key: Buffer): Certificate {
  const certificate = attempt(`TLS_CERT: the file ${certFile} has no certificate in PEM form.`, () => {
    return new X509Certificate(cert);
  });
  const privateKey = attempt(`TLS_KEY: the file ${keyFile} has no private key in PEM form without a passphrase.`, () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new ConfigError(`TLS_KEY: the key in ${keyFile} is not that of the certificate in ${certFile}.`);
  }
  return { context: { cert, key, ...protocol }, certFile, keyFile };
}

function attempt<T>(message: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new ConfigError(message); // without its cause, which could quote the file
  }
}

/**
 * Looks at the files regularly until `close`, and when `look` is called. An unusable pair is logged once, and the current one
 * stays in use.
 */
export function followCertificate(
  present: Certificate,
  use: (context: SecureContextOptions) => void,
  log: Logger,
): { look(): void; close(): void } {
  const settings = { tlsCert: present.certFile, tlsKey: present.keyFile };
  let warned = "";
  const look = async () => {
    try {
      const found = (await readCertificate(settings)) as Certificate;
      warned = "";
      if (isSame(found, present)) return;
      use(found.context);
      present = found;
      log.info("the certificate was changed");
    } catch (error) {
      const { message } = error as Error;
      if (message !== warned) log.warn({ reason: message }, "the changed certificate cannot be used");
      warned = message;
    }
  };
  const timer = setInterval(() => void look(), lookEveryMs);
  return { look: () => void look(), close: () => clearInterval(timer) };
}

const isSame = (one: Certificate, other: Certificate) =>
  String(one.context.cert) === String(other.context.cert) && String(one.context.key) === String(other.context.key);
