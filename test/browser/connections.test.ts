/** A browser keeps idle connections. A request on one of them succeeds. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { startBrowser } from "../support/browser.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService({ CORS_ORIGINS: "*" });
const browser = await startBrowser();

test("a request succeeds some seconds after others were aborted", { timeout: 90_000 }, async () => {
  const page = await browser.newPage();
  const origin = createServer((_request, response) => response.setHeader("Content-Type", "text/html").end("<p>"));
  await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
  afterTest(() => origin.close());
  await page.goto(`http://127.0.0.1:${(origin.address() as AddressInfo).port}`);
  const failures = await page.evaluate(async (url) => {
    const failed: string[] = [];
    for (let round = 0; round < 10; round += 1) {
      // Each opens a connection, on which nothing more is sent.
      for (let count = 0; count < 3; count += 1) {
        const abort = new AbortController();
        fetch(`${url}/livez?${round}.${count}`, { signal: abort.signal }).catch(() => {});
        setTimeout(() => abort.abort(), 0);
      }
      // The service closes such connections after 3 s, about now.
      await new Promise((resolve) => setTimeout(resolve, 2_900 + round * 40));
      const answers = Array.from({ length: 3 }, () =>
        fetch(`${url}/livez`).then(
          ({ status }) => (status === 200 ? [] : [`${round}: ${status}`]),
          (error) => [`${round}: ${error}`],
        ),
      );
      failed.push(...(await Promise.all(answers)).flat());
    }
    return failed;
  }, service.url);
  expect(failures).toEqual([]);
});
