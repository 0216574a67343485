/** bullmq.mjs PORT single|concurrent|bulk|latency COUNT [GAP_MS] | worker CONCURRENCY: one phase of the bench on BullMQ. */
import { Queue, Worker } from "bullmq";
import { appendStart, now, report, sleep } from "./phase.mjs";

const [port, phase, count, gap] = process.argv.slice(2);
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };

if (phase === "worker") {
  new Worker("bench", async (job) => appendStart(job.data.t), { connection, concurrency: Number(count), removeOnComplete: { count: 0 } });
} else {
  const queue = new Queue("bench", { connection, defaultJobOptions: { removeOnComplete: true, removeOnFail: true } });
  const many = (n, f) => Promise.all(Array.from({ length: n }, f));
  const add = () => queue.add("noop", { t: now() });
  await queue.waitUntilReady();
  await report(Number(count), {
    single: async (n) => { for (let i = 0; i < n; i++) await add(); },
    concurrent: async (n) => { for (let i = 0; i < n; i += 100) await many(100, add); },
    bulk: async (n) => { for (let i = 0; i < n; i += 1000) await queue.addBulk(Array.from({ length: 1000 }, () => ({ name: "noop", data: { t: now() } }))); },
    latency: async (n) => { for (let i = 0; i < n; i++) { await add(); await sleep(Number(gap)); } },
  }[phase]);
}
