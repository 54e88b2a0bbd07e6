import { connect, createServer, type Socket } from "node:net";
import { afterTest } from "./afterTest.ts";
import { listen } from "./ports.ts";

/** Starts the proxy. `url` is the database URL with its address. `cut` drops all data, and closes nothing. */
export async function throughLink(databaseUrl: string): Promise<{ url: string; cut(): void }> {
  const target = new URL(databaseUrl);
  let isCut = false;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const path = `${decodeURIComponent(target.hostname)}/.s.PGSQL.${target.port}`;
    const upstream = connect({ path, allowHalfOpen: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("error", () => {});
      from.on("data", (bytes) => isCut || to.write(bytes));
      from.on("end", () => isCut || to.end());
      from.on("close", () => isCut || to.destroy());
    }
  });
  afterTest(() => {
    for (const socket of sockets) socket.destroy();
  });
  const url = new URL(databaseUrl);
  url.hostname = "127.0.0.1";
  url.port = String(await listen(server));
  return {
    url: url.href,
    cut: () => {
      isCut = true;
    },
  };
}
