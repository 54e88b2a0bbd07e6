/** Notifications of Postgres (LISTEN). */
import type pg from "pg";
import { backOff } from "../lib/backOff.ts";
import type { Channel } from "./channels.ts";
import { closeConnection, connect, type DatabaseAddress, noTimeLimits } from "./connect.ts";

export type Listener = {
  /** Replaces the connection: it may lead to a server that was demoted. */
  renew(): void;
  close(): Promise<void>;
};

/**
 * Calls `wake` for each notification of a channel, and after each connect, because notifications may have been missed
 * before it. Reconnects if the connection is lost.
 */
export function listenTo(address: DatabaseAddress, channel: Channel, wake: () => void): Listener {
  const delays = backOff({ firstMs: 250, maxMs: 2_000 });
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const listen = async (): Promise<void> => {
    const connection = await connect(address, noTimeLimits, 1_000);
    client = connection;
    if (closed) return closeConnection(connection);
    connection.on("end", reconnect).on("notification", wake);
    await connection.query(`LISTEN ${channel}`).catch((error) => {
      void closeConnection(connection); // its end reconnects
      throw error;
    });
    delays.reset();
    wake();
  };
  const reconnect = (): void => {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(() => void listen().catch(reconnect), delays.nextDelayMs());
  };
  void listen().catch(reconnect);
  return {
    renew() {
      if (client) void closeConnection(client); // its end reconnects
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      if (client) await closeConnection(client);
    },
  };
}
