/** Connection limits for IPv6 networks. A machine has one IPv6 address only, so the sockets here have invented addresses. */
import { EventEmitter } from "node:events";
import { Server } from "node:http";
import { expect, test } from "vitest";
import { limitConnections } from "../../src/http/connectionLimits.ts";

const connectionsOf = () => {
  const server = new Server();
  limitConnections(server, { total: 1_000, perNetwork: 10 });
  return (remoteAddress: string) => {
    let isRefused = false;
    const destroy = () => {
      isRefused = true;
    };
    const socket = Object.assign(new EventEmitter(), { remoteAddress, destroy });
    server.emit("connection", socket as never);
    return { isRefused, close: () => socket.emit("close") };
  };
};
const held = (open: ReturnType<typeof connectionsOf>, addresses: string[]) =>
  addresses.flatMap((address) => Array.from({ length: 30 }, () => open(address))).filter(({ isRefused }) => !isRefused);
const hex = (count: number) => Array.from({ length: count }, (_, index) => index.toString(16));

test.each([
  ["one /64", ["2001:db8::1", "2001:db8::2"], 10],
  ["all /64 of one /56", hex(16).map((digit) => `2001:db8:0:${digit}::1`), 15],
  ["all /56 of one /48", hex(16).map((digit) => `2001:db8:0:${digit}00::1`), 20],
  ["IPv4 addresses", ["192.0.2.1", "192.0.2.2"], 20],
])("%s", (_name, addresses, most) => {
  const open = connectionsOf();
  const connections = held(open, addresses);
  expect(connections).toHaveLength(most);
  expect(open("2001:db8:ffff::1").isRefused).toBe(false);
  for (const { close } of connections) close();
  expect(held(open, addresses)).toHaveLength(most);
});
