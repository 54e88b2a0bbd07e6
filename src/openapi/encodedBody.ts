/**
 * Bodies that are the same for every client: compressed in advance, with a validator, so that a request costs no work and a client
 * that has the body gets a 304.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliCompress, constants, gunzip, gzip } from "node:zlib";
import fresh from "fresh";
import Negotiator from "negotiator";

/** In the order of preference. */
const codings = ["br", "gzip", "identity"] as const;
type Coding = (typeof codings)[number];

/** A body in one content coding. */
export type Representation = {
  /** Strong: other bytes have another one (RFC 9110, section 8.8.3). */
  etag: string;
  read(): Buffer | Promise<Buffer>;
};
export type EncodedBody = Readonly<Record<Coding, Representation>>;

/** How long the uncompressed bytes are kept after they were last asked for. Few clients do not take compressed ones. */
const identityKeptMs = 60_000;

/** Compresses with the best and slowest settings: for short texts, and at build time. */
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

/** @returns a body that holds the compressed bytes alone */
export function encodedBody({ br, gzip }: { br: Buffer; gzip: Buffer }): EncodedBody {
  return {
    br: { etag: etagOf(br, "br"), read: () => br },
    gzip: { etag: etagOf(gzip, "gzip"), read: () => gzip },
    identity: { etag: etagOf(gzip, "identity"), read: keptForAWhile(() => promisify(gunzip)(gzip)) },
  };
}

const etagOf = (bytes: Buffer, coding: Coding) =>
  `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}-${coding}"`;

/** Shares one result among all who ask while it is kept: it is not made once for each. */
function keptForAWhile(make: () => Promise<Buffer>): () => Promise<Buffer> {
  let kept: Promise<Buffer> | undefined;
  let forget: NodeJS.Timeout | undefined;
  return () => {
    const drop = () => {
      kept = undefined;
    };
    if (!kept) {
      kept = make();
      kept.catch(drop); // the next request tries again
    }
    clearTimeout(forget);
    forget = setTimeout(drop, identityKeptMs).unref();
    return kept;
  };
}

/** @returns the content coding that the client prefers, ours where it has no preference; `undefined` where it takes none of them */
export function preferredCoding(request: IncomingMessage): Coding | undefined {
  // The types of the package lack its options.
  const negotiator = new Negotiator(request) as unknown as {
    encodings(available: readonly string[], options: { preferred: readonly string[] }): Coding[];
  };
  return negotiator.encodings(codings, { preferred: codings })[0];
}

/** Whether `If-None-Match` names the ETag, by weak comparison, in a list or as `*` (RFC 9110, section 13.1.2). */
export const isNamed = (etag: string, ifNoneMatch: string | undefined): boolean =>
  ifNoneMatch !== undefined && fresh({ "if-none-match": ifNoneMatch.replaceAll("\t", " ") }, { etag });
