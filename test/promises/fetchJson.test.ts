/** A URL that a stranger has chosen leads to no service of the own network. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { createFetchJson, resolveName } from "../../src/http/fetchJson.ts";
import { isPublicAddress } from "../../src/http/publicAddress.ts";
import { afterTest } from "../support/afterTest.ts";

describe("addresses", () => {
  test.each([
    "93.184.215.14",
    "8.8.8.8",
    "1.1.1.1",
    "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
    "2a00:1450:4001:800::200e",
  ])("%s is public", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  test.each([
    ...[
      "127.0.0.1",
      "127.255.255.254",
      "0.0.0.0",
      "0.1.2.3",
      "10.0.0.1",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.1.1",
    ],
    ...["169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"],
    ...["224.0.0.1", "240.0.0.1", "255.255.255.255", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1 "],
    ...["::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "100::1"],
    ...["::ffff:127.0.0.1", "::ffff:93.184.215.14", "::127.0.0.1", "::ffff:0:127.0.0.1", "::7f00:1"],
    ...["64:ff9b::127.0.0.1", "64:ff9b::5db8:d70e", "64:ff9b:1::1", "2002:7f00:1::1", "2001::1", "2001:db8::1"],
    ...["localhost", "", "1.2.3.4.5", "::g"],
  ])("%s is not public", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});

const certificate = (file: string) => readFile(`test/support/certificates/${file}`, "utf8");
const [cert, key] = [await certificate("one.cert.pem"), await certificate("one.key.pem")];
let respond = (response: ServerResponse): void => void response.end();
const requests: string[] = [];
const server = createServer({ cert, key }, (request, response) => {
  requests.push(`${request.headers.host}${request.url}`);
  respond(response);
});
await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
afterTest(() => {
  server.closeAllConnections();
  server.close();
});
const { port } = server.address() as AddressInfo;
const url = `https://one.latchkey.test:${port}/client.json`;
const limits = { maxBytes: 100, timeoutMs: 30_000 };
/** Every name resolves to the server, whose address is allowed. */
const fetchJson = createFetchJson({
  resolve: async () => ["127.0.0.1"],
  isAllowed: (address) => address === "127.0.0.1",
  ca: cert,
});
const json = (body: string, headers: Record<string, string> = {}) => {
  respond = (response) => response.writeHead(200, { "content-type": "application/json", ...headers }).end(body);
};

test("JSON is fetched, with the time for which it may be kept", async () => {
  json('{"a":1}', { "cache-control": "public, max-age=120" });
  expect(await fetchJson(url, limits)).toEqual({ body: { a: 1 }, maxAgeSeconds: 120 });
  json("[]", { "cache-control": "max-age=120, no-store", "content-type": "application/jwk-set+json; charset=utf-8" });
  expect(await fetchJson(url, limits)).toEqual({ body: [], maxAgeSeconds: 0 });
  json("1");
  expect(await fetchJson(url, limits)).toEqual({ body: 1, maxAgeSeconds: undefined });
});

test("the request goes to the address that was checked, with the name of the host", async () => {
  json("1");
  let resolved = 0;
  const rebinding = createFetchJson({
    resolve: async () => [++resolved === 1 ? "127.0.0.1" : "127.0.0.2"],
    isAllowed: (address) => address === "127.0.0.1",
    ca: cert,
  });
  await rebinding(url, limits);
  expect([resolved, requests.at(-1)]).toEqual([1, `one.latchkey.test:${port}/client.json`]);
});

test.each<[string, string[]]>([
  ["a private address", ["10.0.0.1"]],
  ["a private address among others", ["93.184.215.14", "127.0.0.1"]],
  ["no address", []],
])("a name of %s is not requested", async (_label, addresses) => {
  const sent = requests.length;
  const fetching = createFetchJson({ resolve: async () => addresses, ca: cert })(url, limits);
  await expect(fetching).rejects.toThrow("no public address");
  expect(requests).toHaveLength(sent);
});

test.each(["https://127.0.0.1", "https://[::1]", "https://[::ffff:7f00:1]", "https://2130706433", "https://0x7f.1"])(
  "%s is not requested",
  async (origin) => {
    const sent = requests.length;
    await expect(createFetchJson({ ca: cert })(`${origin}:${port}/`, limits)).rejects.toThrow("no public address");
    expect(requests).toHaveLength(sent);
  },
);

test.each<[string, (response: ServerResponse) => void, string]>([
  ["a redirect", (response) => response.writeHead(302, { location: url }).end(), "its status is 302"],
  [
    "an error",
    (response) => response.writeHead(404, { "content-type": "application/json" }).end("{}"),
    "status is 404",
  ],
  ["HTML", (response) => response.writeHead(200, { "content-type": "text/html" }).end("{}"), "not application/json"],
  [
    "something else",
    (response) => response.writeHead(200, { "content-type": "application/json" }).end("{"),
    "not JSON",
  ],
  [
    "bytes that are not UTF-8",
    (response) => response.writeHead(200, { "content-type": "application/json" }).end(Buffer.from([0x22, 0xff, 0x22])),
    "not JSON",
  ],
  [
    "a large document",
    (response) => response.writeHead(200, { "content-type": "application/json" }).end(`"${"x".repeat(100)}"`),
    "larger than 100 bytes",
  ],
  [
    "a compressed document",
    (response) => response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end("{}"),
    "compressed",
  ],
  [
    "half a document",
    (response) =>
      response.writeHead(200, { "content-type": "application/json", "content-length": "9" }).write("{}") &&
      response.destroy(),
    "could not be fetched",
  ],
  ["nothing", (response) => void response.destroy(), "could not be fetched"],
])("%s is refused", async (_label, answer, why) => {
  respond = answer;
  await expect(fetchJson(url, limits)).rejects.toThrow(why);
});

test("a server that sends slowly is given up", async () => {
  respond = (response) => void response.writeHead(200, { "content-type": "application/json" }).write("{");
  await expect(fetchJson(url, { ...limits, timeoutMs: 100 })).rejects.toThrow("it took too long");
});

test("a name server that does not respond is given up", async () => {
  const hanging = createFetchJson({ resolve: () => new Promise(() => {}) });
  await expect(hanging(url, { ...limits, timeoutMs: 100 })).rejects.toThrow("it took too long");
});

test("a certificate of another authority is refused, and so is http", async () => {
  const strict = createFetchJson({ resolve: async () => ["127.0.0.1"], isAllowed: () => true });
  await expect(strict(url, limits)).rejects.toThrow("could not be fetched");
  await expect(fetchJson(url.replace("https", "http"), limits)).rejects.toThrow("not an https URL");
});

test("a name is resolved by DNS", async () => {
  const nameServer = createSocket("udp4");
  afterTest(() => nameServer.close());
  const [ipv4, ipv6] = [Buffer.from([192, 0, 2, 1]), Buffer.from("20010db8000000000000000000000001", "hex")];
  nameServer.on("message", (query, { port, address }) => {
    const question = query.subarray(12, query.indexOf(0, 12) + 5);
    const type = question.at(-3);
    const data = type === 1 ? ipv4 : ipv6;
    const header = Buffer.from([query[0] ?? 0, query[1] ?? 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    const answer = Buffer.from([0xc0, 12, 0, type ?? 0, 0, 1, 0, 0, 0, 60, 0, data.length]);
    nameServer.send(Buffer.concat([header, question, answer, data]), port, address);
  });
  nameServer.bind(0, "127.0.0.1");
  await once(nameServer, "listening");
  const servers = [`127.0.0.1:${nameServer.address().port}`];
  expect(await resolveName("app.example", servers)).toEqual(["192.0.2.1", "2001:db8::1"]);
});

describe("limits", () => {
  const overloaded = { slug: "overloaded" };
  const limited = (addressOf: (host: string) => string, clock?: () => number) =>
    createFetchJson({
      resolve: async (host) => [addressOf(host)],
      isAllowed: (address) => address.startsWith("127.") || address === "::1",
      ca: cert,
      ...(clock && { clock }),
    });
  const named = (host: string) => `https://${host}:${port}/`;

  test("a host gets thirty requests in a minute, whatever its names are", async () => {
    let nowMs = 0;
    json("1");
    const fetchLimited = limited(
      (host) => (host === "other.test" ? "127.0.0.2" : "127.0.0.1"),
      () => nowMs,
    );
    const sent = requests.length;
    const fetchFrom = (name: string) => fetchLimited(named(name), limits).catch((error: unknown) => error);
    for (let count = 0; count < 30; count += 1) {
      // The certificate is for another name: the request ends after the connection, and counts.
      expect(await fetchFrom(`name-${count}.test`)).not.toMatchObject(overloaded);
    }
    for (const name of ["one.latchkey.test", "another.test"]) {
      expect(await fetchFrom(name)).toMatchObject(overloaded);
    }
    expect(await fetchFrom("other.test")).not.toMatchObject(overloaded);
    nowMs += 59_000;
    expect(await fetchFrom("one.latchkey.test")).toMatchObject(overloaded);
    nowMs += 1_000;
    expect(await fetchFrom("one.latchkey.test")).toEqual({ body: 1, maxAgeSeconds: undefined });
    expect(requests).toHaveLength(sent + 1);
  });

  test("sixteen requests are sent at once, and 32 wait", async () => {
    const waiting: ServerResponse[] = [];
    let arrived = () => {};
    respond = (response) => {
      waiting.push(response);
      if (waiting.length === 16) arrived();
    };
    let minutes = 0;
    const fetchLimited = limited(
      () => "127.0.0.1",
      () => 60_000 * minutes++,
    );
    const all = Array.from({ length: 48 }, () => fetchLimited(url, limits));
    await expect(fetchLimited(url, limits)).rejects.toMatchObject(overloaded);
    for (let round = 0; round < 3; round += 1) {
      if (waiting.length < 16)
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      expect(waiting).toHaveLength(16);
      for (const response of waiting.splice(0)) {
        response.writeHead(200, { "content-type": "application/json" }).end("1");
      }
    }
    expect(await Promise.all(all)).toHaveLength(48);
  });
});
