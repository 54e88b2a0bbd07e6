/** Requests to Latchkey, with bounds on time and size, and the parsing of what it responds with. */

export type Fetch = typeof fetch;

export type JsonRequest = {
  method?: "GET" | "POST";
  headers?: Record<string, string>;
  body?: string;
  /** The time for the status and the headers, and for each further part of the body. */
  idleTimeoutMs: number;
  /** The time for everything. */
  timeoutMs: number;
  maxBytes: number;
  signal?: AbortSignal;
};

/** A response with another status than 200. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: number;

  constructor(url: string, status: number) {
    super(`${url} responded with status ${status}.`);
    this.status = status;
  }
}

/**
 * Requests JSON. A redirect is an error: whoever can make one could otherwise choose the keys.
 * @throws {StatusError} for another status than 200
 * @throws {Error} if the response does not arrive in time, is too large or is not JSON in UTF-8
 */
export async function fetchJson(fetch: Fetch, url: string, request: JsonRequest): Promise<unknown> {
  const { method = "GET", headers, body, idleTimeoutMs, timeoutMs, maxBytes, signal } = request;
  const cancel = new AbortController();
  const abort = (message: string) => cancel.abort(new Error(`${url} ${message}.`));
  const onAbort = () => cancel.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const total = setTimeout(() => abort(`did not respond within ${timeoutMs} ms`), timeoutMs);
  let idle: ReturnType<typeof setTimeout> | undefined;
  const restartIdle = () => {
    clearTimeout(idle);
    idle = setTimeout(() => abort(`sent nothing for ${idleTimeoutMs} ms`), idleTimeoutMs);
  };
  try {
    restartIdle();
    const init: RequestInit & { cache: string } = {
      method,
      headers: { Accept: "application/json", ...headers },
      ...(body !== undefined && { body }),
      redirect: "manual",
      // Next.js answers from a cache of its own otherwise, and an old answer would count as new.
      cache: "no-store",
      signal: cancel.signal,
    };
    const response = await fetch(url, init);
    if (response.status !== 200) {
      cancel.abort();
      throw new StatusError(url, response.status);
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    const reader = response.body?.getReader();
    for (;;) {
      restartIdle();
      const part = await reader?.read();
      if (part === undefined || part.done) break;
      size += part.value.length;
      if (size > maxBytes) {
        abort(`sent more than ${maxBytes} bytes`);
        throw cancel.signal.reason;
      }
      chunks.push(part.value);
    }
    return parseJson(concat(chunks, size));
  } finally {
    clearTimeout(idle);
    clearTimeout(total);
    signal?.removeEventListener("abort", onAbort);
  }
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return only;
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws {Error} if the bytes are not JSON in UTF-8 */
export const parseJson = (bytes: Uint8Array): unknown => JSON.parse(utf8.decode(bytes));

/** The members of a JSON object. */
export type Members = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a value is a well-formed string of 1 to `maxLength` UTF-16 code units. */
export const isText = (value: unknown, maxLength: number): value is string =>
  typeof value === "string" && value !== "" && value.length <= maxLength && value.isWellFormed();

/** The largest minimum epoch, a Postgres `integer`. It revokes every token of its subject: no token has this epoch. */
export const maxEpoch = 2_147_483_647;

export const isEpoch = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maxEpoch;
