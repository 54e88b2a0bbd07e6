/** Notifications of Postgres (LISTEN). */
import type pg from "pg";
import { backOff } from "../lib/backOff.ts";
import type { Channel } from "./channels.ts";
import { closeConnection, connect, type DatabaseAddress, noTimeLimits } from "./connections.ts";

export type Listener = {
  /** Closes its connection and makes another one: it may lead to a server that was demoted. */
  renew(): void;
  close(): Promise<void>;
};

/**
 * Calls `wake` at each notification of a channel, and at each new connection, since some may have
 * been missed before it. Reconnects after a lost connection; until then there are no notifications.
 */
export function listenTo(address: DatabaseAddress, channel: Channel, wake: () => void): Listener {
  const delays = backOff({ firstMs: 250, mostMs: 2_000 });
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const listen = async (): Promise<void> => {
    const listener = await connect(address, noTimeLimits);
    client = listener;
    if (closed) return closeConnection(listener);
    listener.on("end", reconnect).on("notification", wake);
    await listener.query({ text: `LISTEN ${channel}`, query_timeout: 1_000 } as pg.QueryConfig).catch((error) => {
      void closeConnection(listener); // and connects again
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
      if (client) void closeConnection(client); // and connects again
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      if (client) await closeConnection(client);
    },
  };
}
