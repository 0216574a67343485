/** graphile.mjs URL migrate|single|bulk|latency COUNT [GAP_MS] | worker CONCURRENCY: one phase of the bench on graphile-worker, tuned as its own performance page says. */
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { appendStart, now, report, sleep } from "./phase.mjs";

const [connectionString, phase, count, gap] = process.argv.slice(2);
const logger = new Logger(() => (level, message) => { if (level === "error") console.error(message); });

if (phase === "worker") {
  const concurrentJobs = Number(count);
  const localQueue = { size: 500, refetchDelay: { durationMs: 10 } };
  await run({
    connectionString, logger, noHandleSignals: true,
    taskList: { noop: async (payload) => appendStart(payload.t) },
    preset: { worker: { connectionString, concurrentJobs, maxPoolSize: concurrentJobs + 2, pollInterval: 2000, localQueue, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
  });
} else {
  const utils = await makeWorkerUtils({ connectionString, logger });
  const add = () => utils.addJob("noop", { t: now() });
  await report(Number(count), {
    migrate: () => utils.migrate(),
    single: async (n) => { for (let i = 0; i < n; i++) await add(); },
    bulk: async (n) => { for (let i = 0; i < n; i += 1000) await utils.addJobs(Array.from({ length: 1000 }, () => ({ identifier: "noop", payload: { t: now() } }))); },
    latency: async (n) => { for (let i = 0; i < n; i++) { await add(); await sleep(Number(gap)); } },
  }[phase]);
}
