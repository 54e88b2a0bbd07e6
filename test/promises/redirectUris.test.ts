/** A browser is only sent to a redirect URI that is registered, character by character (RFC 9700, section 4.1). */
import { describe, expect, test } from "vitest";
import {
  addToQuery,
  formTarget,
  isInterceptable,
  isRegistered,
  placeOf,
} from "../../src/oauth/authorization/redirectUri.ts";

const registered = ["https://app.example/callback", "https://app.example/search?tenant=1"];
const loopback = ["http://127.0.0.1/callback", "http://[::1]:4000/callback", "http://localhost:3000/callback"];

test.each(registered)("%s is registered", (uri) => {
  expect(isRegistered(uri, registered)).toBe(true);
});

describe("a client cannot be redirected to", () => {
  test.each([
    ["another host", "https://evil.example/callback"],
    ["userinfo", "https://app.example@evil.example/callback"],
    ["userinfo of the right host", "https://user@app.example/callback"],
    ["userinfo with a password", "https://app.example:443@evil.example/callback"],
    ["a backslash", "https://evil.example\\@app.example/callback"],
    ["a backslash in the path", "https://app.example\\callback"],
    ["a longer domain", "https://app.example.evil.example/callback"],
    ["a prefix of the domain", "https://evil-app.example/callback"],
    ["a subdomain", "https://sub.app.example/callback"],
    ["a longer path", "https://app.example/callback/evil"],
    ["a path that only begins the same", "https://app.example/callbackevil"],
    ["a shorter path", "https://app.example/"],
    ["path traversal", "https://app.example/callback/../evil"],
    ["path traversal to the same path", "https://app.example/evil/../callback"],
    ["encoded path traversal", "https://app.example/callback/%2e%2e/evil"],
    ["an encoded letter", "https://app.example/c%61llback"],
    ["an encoded slash", "https://app.example%2fcallback"],
    ["an encoded NUL", "https://app.example/callback%00"],
    ["an encoded line break", "https://app.example/callback%0d%0aSet-Cookie:a=b"],
    ["a line break", "https://app.example/callback\r\nSet-Cookie: a=b"],
    ["a space", "https://app.example/callback "],
    ["a leading space", " https://app.example/callback"],
    ["a fragment", "https://app.example/callback#fragment"],
    ["an empty fragment", "https://app.example/callback#"],
    ["another query", "https://app.example/callback?next=https://evil.example"],
    ["an empty query", "https://app.example/callback?"],
    ["a longer query", "https://app.example/search?tenant=1&tenant=2"],
    ["upper case in the scheme", "HTTPS://app.example/callback"],
    ["upper case in the host", "https://APP.example/callback"],
    ["upper case in the path", "https://app.example/Callback"],
    ["a trailing dot of the host", "https://app.example./callback"],
    ["a trailing slash", "https://app.example/callback/"],
    ["two slashes", "https://app.example//callback"],
    ["Unicode that normalizes to the host", "https://app.ｅxample/callback"],
    ["a full stop of another script", "https://app。example/callback"],
    ["a letter of another script", "https://аpp.example/callback"],
    ["the default port", "https://app.example:443/callback"],
    ["another port", "https://app.example:8443/callback"],
    ["http", "http://app.example/callback"],
    ["another scheme", "javascript://app.example/callback"],
    ["no scheme", "//app.example/callback"],
    ["a path only", "/callback"],
    ["nothing", ""],
  ])("%s", (_, uri) => {
    expect(isRegistered(uri, registered)).toBe(false);
  });
});

describe("the port of a loopback address", () => {
  test.each([
    "http://127.0.0.1/callback",
    "http://127.0.0.1:1/callback",
    "http://127.0.0.1:65535/callback",
    "http://[::1]/callback",
    "http://[::1]:51004/callback",
  ])("is free: %s", (uri) => {
    expect(isRegistered(uri, loopback)).toBe(true);
  });

  test.each([
    ["no port", "http://127.0.0.1:/callback"],
    ["port 0", "http://127.0.0.1:0/callback"],
    ["a leading zero", "http://127.0.0.1:08080/callback"],
    ["a port that does not exist", "http://127.0.0.1:65536/callback"],
    ["a port of many digits", "http://127.0.0.1:000000080/callback"],
    ["text after the port", "http://127.0.0.1:80.evil.example/callback"],
    ["userinfo after the port", "http://127.0.0.1:80@evil.example/callback"],
    ["a longer host", "http://127.0.0.1.evil.example/callback"],
    ["another loopback address", "http://127.0.0.2/callback"],
    ["a short form of the address", "http://127.1/callback"],
    ["a decimal form of the address", "http://2130706433/callback"],
    ["a long form of the address", "http://[0:0:0:0:0:0:0:1]/callback"],
    ["https", "https://127.0.0.1/callback"],
    ["another path", "http://127.0.0.1:80/evil"],
    ["a query", "http://127.0.0.1:80/callback?evil"],
    ["another port of localhost", "http://localhost:3001/callback"],
    ["no port of localhost", "http://localhost/callback"],
    ["a host that is not registered", "http://[::2]:4000/callback"],
  ])("does not allow %s", (_, uri) => {
    expect(isRegistered(uri, loopback)).toBe(false);
  });

  test("is not free if no loopback address is registered", () => {
    expect(isRegistered("http://127.0.0.1:80/callback", registered)).toBe(false);
  });
});

test("localhost is only compared as a string", () => {
  expect(isRegistered("http://localhost:3000/callback", loopback)).toBe(true);
});

test.each([
  ["https://app.example/callback", "https://app.example/callback?code=a%26b&iss=https%3A%2F%2Fauth.example"],
  [
    "https://app.example/search?tenant=1",
    "https://app.example/search?tenant=1&code=a%26b&iss=https%3A%2F%2Fauth.example",
  ],
  ["https://app.example/search?", "https://app.example/search?code=a%26b&iss=https%3A%2F%2Fauth.example"],
  ["com.example.app:/callback", "com.example.app:/callback?code=a%26b&iss=https%3A%2F%2Fauth.example"],
])("parameters are added to the query of %s", (uri, expected) => {
  expect(addToQuery(uri, { code: "a&b", state: undefined, iss: "https://auth.example" })).toBe(expected);
});

test.each([
  ["https://app.example/callback", false, "https://app.example"],
  ["https://app.example:8443/callback", false, "https://app.example:8443"],
  ["http://127.0.0.1:4000/callback", true, "http://127.0.0.1:4000"],
  ["http://[::1]/callback", true, "http://[::1]"],
  ["http://localhost:3000/callback", true, "http://localhost:3000"],
  ["com.example.app:/callback", true, "com.example.app:"],
])("%s is interceptable: %s; its target for forms is %s", (uri, interceptable, target) => {
  expect(isInterceptable(uri)).toBe(interceptable);
  expect(formTarget(uri)).toBe(target);
});

test.each([
  ["https://app.example:8443/callback", "app.example:8443"],
  ["http://127.0.0.1:4000/callback", "127.0.0.1:4000"],
  ["com.example.app:/callback", "com.example.app:"],
  ["com.evil.app://bank.example/callback", "com.evil.app:"],
  ["com.evil.app:bank.example", "com.evil.app:"],
])("%s leads to %s", (uri, place) => {
  expect(placeOf(uri)).toBe(place);
});
