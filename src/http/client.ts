/** What a request says about its client. */
import { isUtf8 } from "node:buffer";
import { isIP } from "node:net";
import type { Request } from "express";

/**
 * The client's IP address, from the connection or, with `TRUST_PROXY`, from `X-Forwarded-For`. Some proxies append the port.
 * @returns `undefined` if a trusted proxy forwards something that is not an IP address
 */
export function clientAddress({ ip = "" }: Request): string | undefined {
  if (isIP(ip)) return ip;
  const [, address = ""] = /^\[(.+)\](?::\d+)?$/.exec(ip) ?? /^([\d.]+):\d+$/.exec(ip) ?? [];
  return isIP(address) ? address : undefined;
}

/** In code points. */
const maxUserAgentLength = 256;

/**
 * The `User-Agent` header, cut to 256 code points. Node decodes headers as Latin-1; valid UTF-8 is decoded as UTF-8.
 * Control characters are removed, because terminals interpret them.
 */
export function userAgentOf({ headers }: Request): string | undefined {
  const text = headers["user-agent"];
  if (text === undefined || /^[ -~]{0,256}$/.test(text)) return text;
  const bytes = Buffer.from(text, "latin1");
  const decoded = isUtf8(bytes) ? bytes.toString() : text;
  return [...decoded.replace(/\p{Cc}/gu, "")].slice(0, maxUserAgentLength).join("");
}
