/** Notifications of Postgres (LISTEN). */
import type pg from "pg";
import { backOff } from "../lib/backOff.ts";
import type { Channel } from "./channels.ts";
import { closeConnection, connect, type DatabaseAddress, noTimeLimits } from "./connect.ts";

export type Listener = {
  /** Replaces the connection, which may lead to a demoted server. */
  renew(): void;
  close(): Promise<void>;
};

/**
 * Calls `wake` for each notification of a channel, and after each connect, because earlier notifications may have been missed.
 * Reconnects if the connection is lost.
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
      void closeConnection(connection); // the "end" event reconnects
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
      if (client) void closeConnection(client); // the "end" event reconnects
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      if (client) await closeConnection(client);
    },
  };
}
