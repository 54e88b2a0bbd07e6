import ipaddr from "ipaddr.js";

/** All whose address is not known. None of them is familiar to an account. */
export const unknownNetwork = "unknown";

/**
 * What one client of the internet can be told by: an IPv4 address, or the /64 of an IPv6 address, of
 * which one client has all (RFC 6177).
 * @param address as the connection or a trusted proxy gives it; what is no address is one network of its own.
 */
export function networkOf(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return unknownNetwork;
  const parsed = ipaddr.process(address); // ::ffff:192.0.2.7 is 192.0.2.7
  if (parsed.kind() === "ipv4") return parsed.toString();
  const [a, b, c, d] = (parsed as ipaddr.IPv6).parts as [number, number, number, number];
  return `${new ipaddr.IPv6([a, b, c, d, 0, 0, 0, 0]).toString()}/64`;
}
