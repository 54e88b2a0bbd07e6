/** A load generator: independent requests, sent by autocannon. */
import { once } from "node:events";
import { createHistogram } from "node:perf_hooks";
import autocannon from "autocannon";
import { loadResult, serveLoad } from "./protocol.ts";

// Usernames must differ from those of earlier runs.
let registered = Date.now();

serveLoad(({ url, connections, requests = [] }) => async (seconds) => {
  const times = createHistogram(); // autocannon's own has a resolution of 1 ms
  const began = performance.now();
  const run = autocannon(
    {
      url,
      connections,
      duration: seconds,
      requests: requests.map(({ body, ...request }) => ({
        ...request,
        ...(body && { body }),
        ...(body?.includes("{n}") && {
          setupRequest: (prepared: autocannon.Request) => ({
            ...prepared,
            body: body.replaceAll("{n}", String(registered++)),
          }),
        }),
      })) as autocannon.Request[],
    },
    () => {},
  );
  run.on("response", (_client, status, _bytes, ms) => {
    if (status < 300) times.record(Math.max(1, Math.round(ms * 1000)));
  });
  const [result] = (await once(run, "done")) as [autocannon.Result];
  return loadResult(times, result.non2xx + result.errors, performance.now() - began);
});
