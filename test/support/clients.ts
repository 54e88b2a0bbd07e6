import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createLatchkeyClient,
  type LatchkeyOptions,
  type RefreshRefusal,
  type TokenStorage,
  unwrap,
} from "../../packages/client/src/index.ts";
import { afterTest } from "./afterTest.ts";
import { listen } from "./ports.ts";
import { password, type TestService } from "./service.ts";

export type Answering = (request: Request) => Promise<Response>;

type Options = Partial<LatchkeyOptions> & { answering?: Answering; items?: Map<string, string> };

/** The client's default. */
export const network: Answering = (request) => fetch(request);

export const isRefresh = ({ method, url }: Request) => method === "POST" && url.endsWith("/api/token");

/** Counts how often a request was sent. */
export const count = (sent: string[], request: string) => sent.filter((each) => each === request).length;

/** Returns functions that create clients of a service and advance its clock. */
export function clientsOf(service: TestService) {
  /** Creates a client. `sent` are its requests, `ended` the reasons for which it signed out. */
  function open({ answering = network, items = new Map<string, string>(), ...rest }: Options = {}) {
    const sent: string[] = [];
    const ended: (RefreshRefusal | undefined)[] = [];
    const storage: TokenStorage = {
      getItem: async (name) => items.get(name) ?? null,
      setItem: async (name, value) => void items.set(name, value),
      removeItem: async (name) => void items.delete(name),
    };
    const latchkey = createLatchkeyClient({
      baseUrl: service.url,
      storage,
      onSignedOut: (refusal) => ended.push(refusal),
      fetch: (request) => {
        sent.push(`${request.method} ${new URL(request.url).pathname}`);
        return answering(request);
      },
      ...rest,
    });
    return { latchkey, sent, ended, items };
  }

  /** Creates a client, and signs in a new user. */
  async function openSignedIn(options: Options = {}) {
    const { username } = await service.register();
    const opened = open(options);
    unwrap(await opened.latchkey.signIn(username, password));
    opened.sent.length = 0;
    return { ...opened, username };
  }

  /** Advances the clock beyond the expiry of every access token, until the end of the test. */
  function expire(): void {
    service.advance(601);
    afterTest(() => service.advance(-601));
  }

  return { open, openSignedIn, expire, key: `latchkey ${service.url}` };
}

/** Returns a promise, and the function that resolves it. */
export function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** Starts a server. Returns its origin. */
export async function serve(answer: (request: IncomingMessage, response: ServerResponse) => unknown): Promise<string> {
  const server = createServer((request, response) => void answer(request, response));
  return `http://127.0.0.1:${await listen(server)}`;
}
