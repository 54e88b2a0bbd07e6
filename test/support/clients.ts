import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createLatchkeyClient,
  type LatchkeyOptions,
  type RefreshRefusal,
  type TokenStorage,
  unwrap,
} from "../../src/client/client.ts";
import { afterTest } from "./afterTest.ts";
import { listen } from "./ports.ts";
import { password, type TestService } from "./service.ts";

export type Answering = (request: Request) => Promise<Response>;

type Options = Partial<LatchkeyOptions> & { answering?: Answering; items?: Map<string, string> };

/** Sends as the client itself would. */
export const network: Answering = (request) => fetch(request);

export const isRefresh = ({ method, url }: Request) => method === "POST" && url.endsWith("/api/token");

/** How often a request was sent. */
export const count = (sent: string[], request: string) => sent.filter((each) => each === request).length;

/** The ways to open a client of a service, and to let time pass for it. */
export function clientsOf(service: TestService) {
  /** A client, what it sends, and what it says of the end of its sessions. */
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

  /** A client that a new user has signed in with. */
  async function openSignedIn(options: Options = {}) {
    const { username } = await service.register();
    const opened = open(options);
    unwrap(await opened.latchkey.signIn(username, password));
    opened.sent.length = 0;
    return { ...opened, username };
  }

  /** Lets all access tokens expire, for this test. */
  function expire(): void {
    service.advance(601);
    afterTest(() => service.advance(-601));
  }

  return { open, openSignedIn, expire, key: `latchkey ${service.url}` };
}

/** Where something waits until it is opened. */
export function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** A server of the test's own. @returns where it listens, without a slash at the end */
export async function serve(answer: (request: IncomingMessage, response: ServerResponse) => unknown): Promise<string> {
  const server = createServer((request, response) => void answer(request, response));
  return `http://127.0.0.1:${await listen(server)}`;
}
