/**
 * Bodies that are the same for every client. They are compressed once, and have an ETag, so that a client with the current
 * body gets a 304.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliCompress, constants, gunzip, gzip } from "node:zlib";
import fresh from "fresh";
import Negotiator from "negotiator";

/** In order of preference. */
const codings = ["br", "gzip", "identity"] as const;
type Coding = (typeof codings)[number];

/** A body in one content coding. */
export type Representation = {
  /** A strong ETag (RFC 9110, section 8.8.3). */
  etag: string;
  read(): Buffer | Promise<Buffer>;
};
export type EncodedBody = Readonly<Record<Coding, Representation>>;

/** How long the uncompressed bytes stay in memory after their last use. Few clients need them. */
const identityCacheMs = 60_000;

/** Compresses with the slowest and best settings, for short texts and at build time. */
export async function compress(body: Buffer): Promise<{ br: Buffer; gzip: Buffer }> {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: body.length,
  };
  const [br, gzipped] = await Promise.all([
    promisify(brotliCompress)(body, { params }),
    promisify(gzip)(body, { level: constants.Z_BEST_COMPRESSION }),
  ]);
  return { br, gzip: gzipped };
}

/** @returns a body that keeps only the compressed bytes in memory */
export function encodedBody({ br, gzip }: { br: Buffer; gzip: Buffer }): EncodedBody {
  return {
    br: { etag: etagOf(br, "br"), read: () => br },
    gzip: { etag: etagOf(gzip, "gzip"), read: () => gzip },
    identity: { etag: etagOf(gzip, "identity"), read: cached(() => promisify(gunzip)(gzip)) },
  };
}

const etagOf = (bytes: Buffer, coding: Coding) =>
  `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}-${coding}"`;

/** Concurrent callers share one result. */
function cached(make: () => Promise<Buffer>): () => Promise<Buffer> {
  let current: Promise<Buffer> | undefined;
  let expiry: NodeJS.Timeout | undefined;
  return () => {
    const drop = () => {
      current = undefined;
    };
    if (!current) {
      current = make();
      current.catch(drop); // the next request tries again
    }
    clearTimeout(expiry);
    expiry = setTimeout(drop, identityCacheMs).unref();
    return current;
  };
}

/** @returns the content coding that the client prefers, in our order among equals; `undefined` if it accepts none */
export function preferredCoding(request: IncomingMessage): Coding | undefined {
  // The types of the package lack its options.
  const negotiator = new Negotiator(request) as Negotiator & {
    encodings(available: readonly string[], options: { preferred: readonly string[] }): Coding[];
  };
  return negotiator.encodings(codings, { preferred: codings })[0];
}

/** Whether `If-None-Match` lists the ETag, by weak comparison, or is `*` (RFC 9110, section 13.1.2). */
export const matchesEtag = (etag: string, ifNoneMatch: string | undefined): boolean =>
  ifNoneMatch !== undefined && fresh({ "if-none-match": ifNoneMatch.replaceAll("\t", " ") }, { etag });
