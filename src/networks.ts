import ipaddr from "ipaddr.js";
import type { Network } from "./identifiers.ts";

const network = (text: string): Network => text as Network;

/** The network of all clients whose address is unknown. It never becomes known to an account. */
export const unknownNetwork = network("unknown");

/** The networks of a client, from the narrowest to the widest. */
export type Networks = readonly [narrowest: Network, ...wider: Network[]];

/** The prefix lengths that a provider may assign to one customer (RFC 6177). */
const ipv6Prefixes = [64, 56, 48];

/**
 * The networks by which a client is counted. For IPv4, only the address counts, because unrelated clients often share a /24. An
 * IPv6 client can use any address of its /64, and often of its /56 or /48.
 * @param address from the connection or a trusted proxy. If it is not an IP address, the network is unknown.
 */
export function networksOf(address: string | undefined): Networks {
  if (address === undefined || !ipaddr.isValid(address)) return [unknownNetwork];
  const parsed = ipaddr.process(address); // ::ffff:192.0.2.7 is 192.0.2.7
  if (parsed.kind() === "ipv4") return [network(parsed.toString())];
  const { parts } = parsed as ipaddr.IPv6;
  const prefix = (bits: number): Network => {
    const masked = parts.map((part, index) => part & (0xffff << Math.min(16, Math.max(0, 16 * (index + 1) - bits))));
    return network(`${new ipaddr.IPv6(masked).toString()}/${bits}`);
  };
  return ipv6Prefixes.map(prefix) as [Network, ...Network[]];
}

/** The narrowest network of a client, which can become known to an account. */
export const networkOf = (address: string | undefined): Network => networksOf(address)[0];
