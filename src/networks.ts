import ipaddr from "ipaddr.js";

/** All clients whose address is not known. It never becomes familiar to an account. */
export const unknownNetwork = "unknown";

/** Where a client is, from the narrowest network to the widest. */
export type Networks = readonly [narrowest: string, ...wider: string[]];

/** How many bits of an IPv6 address one customer may have for themselves: RFC 6177 names /64, /56 and /48. */
const ipv6Prefixes = [64, 56, 48];

/**
 * The networks that a client counts for. An IPv4 address counts alone: its /24 is often shared by strangers, and
 * addresses are scarce. An IPv6 client can pick any address of its /64 and often of its /56 or /48.
 * @param address as the connection or a trusted proxy gives it; all that is no address is one network
 */
export function networksOf(address: string | undefined): Networks {
  if (address === undefined || !ipaddr.isValid(address)) return [unknownNetwork];
  const parsed = ipaddr.process(address); // ::ffff:192.0.2.7 is 192.0.2.7
  if (parsed.kind() === "ipv4") return [parsed.toString()];
  const { parts } = parsed as ipaddr.IPv6;
  const prefix = (bits: number): string => {
    const masked = parts.map((part, index) => part & (0xffff << Math.min(16, Math.max(0, 16 * (index + 1) - bits))));
    return `${new ipaddr.IPv6(masked).toString()}/${bits}`;
  };
  return ipv6Prefixes.map(prefix) as [string, ...string[]];
}

/** The narrowest network of a client: what an account becomes familiar with. */
export const networkOf = (address: string | undefined): string => networksOf(address)[0];
