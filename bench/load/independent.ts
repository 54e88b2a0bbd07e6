/** Load by autocannon. */
import { once } from "node:events";
import { createHistogram } from "node:perf_hooks";
import autocannon from "autocannon";
import { outcomeOf, serveRounds } from "./load.ts";

// Usernames of this run that are not those of another.
let registered = Date.now();

serveRounds(({ url, connections, requests = [] }) => async (seconds) => {
  const times = createHistogram(); // autocannon's own knows whole milliseconds only
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
  return outcomeOf(times, result.non2xx + result.errors, performance.now() - began);
});
