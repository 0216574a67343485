/** The stand-in's queues, jobs and workers: rows as the real program answers them, changed in place. */
import { iso } from "./fake_model.js";

const at = (seconds) => iso(Math.floor(Date.now() / 1000) + seconds);
const STATES = ["ready", "delayed", "running", "done", "cancelled", "expired", "dead"];
const COUNT = 900;

export function createJobs() {
  const jobs = Array.from({ length: COUNT }, (_, i) => makeJob(COUNT - i, i));
  const queues = [
    { queue: "default", concurrency: 0, rate: null, weight: 1, key_concurrency: 0, key_rate: null, declared: {}, paused: false, oldest_s: 0 },
    { queue: "collect", concurrency: 4, rate: "100/m", weight: 2, key_concurrency: 1, key_rate: null, declared: { concurrency: 4, weight: 2 }, paused: false, oldest_s: 421 },
    { queue: "low", concurrency: 0, rate: null, weight: 1, key_concurrency: 0, key_rate: null, declared: {}, paused: true, oldest_s: 3800 },
  ];
  const has = (job, word) => [job.kind, JSON.stringify(job.args), job.error ?? ""].some((text) => text.toLowerCase().includes(word));
  const find = (filter) => jobs.filter((job) => (!filter.queue || job.queue === filter.queue) && (!filter.kind || job.kind === filter.kind) && (!filter.state || job.state === filter.state)
    && (filter.q ?? "").toLowerCase().split(/\s+/).filter(Boolean).every((word) => has(job, word)));
  const counts = (list) => Object.fromEntries(STATES.map((state) => [state, list.filter((job) => job.state === state).length]));

  const changes = {
    retry: (job) => ["dead", "delayed"].includes(job.state) && Object.assign(job, { state: "ready", error: null, run_at: at(0), finished_at: null }),
    cancel: (job) => ["ready", "delayed", "running"].includes(job.state) && Object.assign(job, { state: "cancelled", finished_at: at(0) }),
    discard: (job) => job.state !== "running" && jobs.splice(jobs.indexOf(job), 1),
  };

  function list(query) {
    const filter = Object.fromEntries(["queue", "kind", "state", "q"].map((name) => [name, query.get(name) ?? ""]));
    const after = Number((query.get("after") || "-1e9").split(".")[0]);
    const limit = Number(query.get("limit") || 50);
    const found = find(filter);
    const page = found.filter((job) => -job.id > after).slice(0, limit);
    const last = page[page.length - 1];
    const more = last && found[found.length - 1] !== last;
    return { jobs: page, next: more ? `${-last.id}.${last.id}` : null, partial: false, ...(query.get("count") === "1" ? { counts: counts(find({ ...filter, state: "" })) } : {}) };
  }

  function queueRow(q) {
    const own = counts(jobs.filter((job) => job.queue === q.queue));
    return { ...q, ready: own.ready, delayed: own.delayed, running: own.running, held: 0, dead: own.dead, done_total: 48210, failed_total: 17,
      oldest_s: own.ready ? q.oldest_s : 0, per_second: { pushed: 12.4, done: q.paused ? 0 : 11.8, failed: q.queue === "collect" ? 0.3 : 0 } };
  }

  return {
    /** @returns {[number, any]|null} */
    look(resource, a, query) {
      if (resource === "queues") return [200, queues.map(queueRow)];
      if (resource === "workers") return [200, workers(jobs)];
      if (a === "rates") return [200, rates(query.get("queue") ?? "")];
      if (!a) return [200, list(query)];
      const job = jobs.find((j) => String(j.id) === a);
      return job ? [200, { ...job, attempts: attempts(job), why: why(job), result: job.state === "done" ? { stored: 84 } : null }] : null;
    },
    change(resource, a, b, body) {
      if (resource === "queues") {
        const queue = queues.find((q) => q.queue === a);
        if (!queue) return null;
        if (b === "limits") Object.assign(queue, { concurrency: 0, rate: null, weight: 1, key_concurrency: 0, key_rate: null, ...queue.declared }, Object.fromEntries(Object.entries(body).filter(([, v]) => v !== null)));
        else queue.paused = b === "pause";
        return [200, { ok: true }];
      }
      if (resource !== "jobs") return null;
      if (a === "bulk") {
        const wanted = find(body.filter ?? {}).filter((job) => (body.ids ? body.ids.includes(job.id) : true));
        const may = wanted.filter((job) => (body.action === "retry" ? ["dead", "delayed"] : body.action === "cancel" ? ["ready", "delayed", "running"] : ["ready", "delayed", "dead"]).includes(job.state));
        if (!body.dry) may.forEach(changes[body.action]);
        return [200, { matched: may.length, changed: body.dry ? 0 : may.length }];
      }
      const job = jobs.find((j) => String(j.id) === a);
      return job && changes[b]?.(job) ? [200, { ok: true }] : [404, { title: "Not Found", status: 404, detail: `jobs: no job ${a} that one could ${b}` }];
    },
  };
}

function makeJob(id, i) {
  const state = ["done", "done", "dead", "running", "ready", "delayed", "done", "done", "cancelled", "ready"][i < 200 ? i % 10 : 4 + (i % 2)];
  const kind = `streampulse.${["collect", "analyse", "detect", "expire"][i % 4]}`;
  const started = !["ready", "delayed"].includes(state);
  return {
    id, kind, queue: ["default", "collect", "low"][i % 3], priority: "normal", state, attempt: state === "dead" ? 3 : state === "ready" ? 0 : 1, max_attempts: 3, crashes: 0,
    args: state === "done" || state === "cancelled" ? null : kind.endsWith("collect") ? { platform: i % 2 ? "soop" : "chzzk" } : { id: i, note: "a longer line of arguments, so that one sees where it is cut off at the end of its row" },
    error: state === "dead" ? "plugins/soop/plugin.lua:88: SOOP unreachable: could not resolve host" : null,
    created_at: at(-i * 4 - 5), run_at: state === "delayed" ? at(600 + i) : at(-i * 4 - 4), started_at: started ? at(-i * 4 - 3) : null,
    finished_at: started && state !== "running" ? at(-i * 4) : null, ...(state === "running" ? { progress: (i % 100) / 100, message: `page ${i}` } : {}),
  };
}

function attempts(job) {
  if (job.state !== "dead") return [];
  return [1, 2, 3].map((attempt) => ({ attempt, started_at: at(-400 + attempt * 60), ended_at: at(-398 + attempt * 60), error: job.error ?? "plugins/soop/plugin.lua:88: SOOP unreachable: timed out", lane: "job0",
    traceback: "stack traceback:\n\t[C]: in function 'error'\n\tplugins/soop/plugin.lua:88: in function 'get'\n\tplugins/soop/plugin.lua:120: in function <plugins/soop/plugin.lua:112>" }));
}

function why(job) {
  if (job.state === "ready") return job.queue === "low" ? [{ code: "paused" }] : [{ code: "workers_busy" }];
  return job.state === "delayed" ? [{ code: "not_due", until: job.run_at }] : [];
}

function workers(jobs) {
  const running = jobs.filter((job) => job.state === "running");
  return [0, 1].map((lane) => {
    const own = running.filter((job) => Math.floor(job.id / 10) % 2 === lane);
    return { node: "floor-1-4127", lane: `job${lane}`, capacity: 64, used: own.length, lost: false,
      running: own.map((job) => ({ id: job.id, kind: job.kind, queue: job.queue, attempt: job.attempt, started_at: job.started_at, progress: job.progress, message: job.message })) };
  });
}

function rates(queue) {
  const now = Math.floor(Date.now() / 1000);
  const part = (n, step, most) => {
    const pushed = Array.from({ length: n }, (_, i) => Math.max(0, Math.round(most * (1 + Math.sin((now / step + i) / 17) * 0.5 + ((i * 7919) % 13) / 40))));
    const failed = pushed.map((v, i) => (i % 29 < 3 ? Math.round(v / 12) : 0));
    return { from: now - n * step, step, pushed, done: pushed.map((v, i) => v - failed[i]), failed, wait_p50_ms: pushed.map((v, i) => (i % 50 === 9 ? null : 0.4 + v / 100)), wait_p99_ms: pushed.map((v, i) => (i % 50 === 9 ? null : 3 + v / 10)) };
  };
  return { queue, seconds: part(299, 1, queue ? 20 : 60), minutes: part(1439, 60, queue ? 900 : 3000) };
}
