/** Passwords that are slow to estimate delay only the clients that send them. */
import { expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService({ TRUST_PROXY: "loopback", PASSWORD_BLOCKLIST: "on" });
const slow = "p4s5w0rd!".repeat(14);
const from = (address: string) => ({ headers: { "x-forwarded-for": address } });

const guests = 12;

test("others register while one address sends slow passwords without pause", { timeout: 60_000 }, async () => {
  const { username } = await service.register();
  const bearer = await service.token(username);
  const change = (current_password: string) =>
    service.send("PUT", "/api/users/me/password", {
      bearer,
      json: { current_password, new_password: slow },
      ...from("192.0.2.1"),
    });
  let isOver = false;
  const flood = Array.from({ length: 20 }, async (_, index) => {
    while (!isOver) {
      const { status } = await change(index % 2 === 0 ? password : "wrong password");
      expect([401, 422, 429, 503]).toContain(status);
    }
  });
  let attempts = 0;
  for (let count = 0; count < guests; attempts += 1) {
    const json = { username: `guest${count}`, password };
    const { status } = await service.send("POST", "/api/users", { json, ...from(`198.51.100.${count}`) });
    expect([201, 503]).toContain(status);
    if (status === 201) count += 1;
    // On a slow machine, some estimates take too long beside the flood.
    expect(attempts).toBeLessThan(1.5 * guests);
  }
  console.info(`${attempts} attempts of ${guests} guests`);
  isOver = true;
  await Promise.all(flood);
});
