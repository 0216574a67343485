/** The stand-in's admin API: plugins, queues, jobs, schedules and a log that grows. */
import { createJobs } from "./fake_jobs.js";
import { iso } from "./fake_model.js";

const now = () => iso(Math.floor(Date.now() / 1000));
const later = (seconds) => iso(Math.floor(Date.now() / 1000) + seconds);

const MESSAGES = [
  ["info", "plugins", "streampulse", "collection stored", { platform: "chzzk", lives: 84, ms: 41 }],
  ["info", "http", null, "GET /api/live 200", { ms: 2, bytes: 18321 }],
  ["warn", "plugins", "soop", "answer 429, retrying", { endpoint: "/main_broad_list_api.php", retry_after: 2 }],
  ["debug", "cron", null, "fired", { schedule: "collect", late_ms: 3 }],
  ["error", "plugins", "soop", "SOOP unreachable: could not resolve host", { endpoint: "/main_broad_list_api.php", attempt: 3 }],
  ["info", "jobs", "streampulse", "job done", { kind: "analyse", id: 871, ms: 12 }],
];

/** As GET /admin/v1/logs/search: one word, pages of so many, parts with hits; an open quote is a wrong query. */
function searchLog(lines, query) {
  const q = query.get("q") ?? "";
  if ((q.split('"').length - 1) % 2) return [400, { status: 400, title: "Bad Request", code: "invalid", detail: "query: column 1: a quote is not closed" }];
  const least = LEVELS.indexOf(query.get("level") || "debug");
  const parts = (text) => text.split(new RegExp(`(${q.replace(/[^\p{L}\p{N} ]/gu, "")})`, "i")).filter(Boolean)
    .map((part) => (part.toLowerCase() === q.toLowerCase() ? { text: part, hit: true } : { text: part }));
  const found = lines.map((l) => ({ ...l, id: String(l.seq), at: Date.parse(l.at) / 1000, fields: JSON.stringify(l.fields) }))
    .filter((l) => LEVELS.indexOf(l.level) >= least && `${l.message} ${l.fields}`.toLowerCase().includes(q.toLowerCase())).reverse();
  const from = Number(query.get("after") || 0), to = from + 5;
  return [200, { total: found.length, facets: {}, ...(found.length > to ? { next: String(to) } : {}),
    hits: found.slice(from, to).map((l) => ({ ...l, highlight: { message: parts(l.message), fields: parts(l.fields) } })) }];
}

const LEVELS = ["debug", "info", "warn", "error"];

export function createAdmin() {
  const started = Date.now();
  const plugins = ["streampulse", "chzzk", "soop", "simulator", "guestbook"].map((name, i) => ({
    name,
    version: "1.0.0",
    generation: `${(i * 7919 + 64206).toString(16)}c41fe09a77`,
    state: name === "guestbook" ? "failed" : name === "soop" ? "quarantined" : "serving",
    loaded_at: later(-3600 + i * 60),
    routes: [9, 0, 0, 6, 2][i],
    jobs: [4, 1, 1, 0, 1][i],
    memory_bytes: [7340032, 2202009, 1887436, 3145728, 0][i],
    tasks: [2, 0, 1, 0, 0][i],
    requests: [18420, 0, 0, 933, 12][i],
    faults: [0, 0, 3, 0, 1][i],
    cpu_seconds: [48.2, 3.1, 2.9, 6.6, 0][i],
    last_error: name === "guestbook"
      ? { at: later(-240), message: "plugins/guestbook/plugin.lua:7: unexpected symbol near '='" } : null,
    p50_ms: [0.4, 2.1, 1.9, 0.2, null][i],
    p99_ms: [3.2, 41.7, 38.4, 0.9, null][i],
    kills: name === "soop" ? 3 : 0,
    generations: 1,
    allow: { net: name === "soop" || name === "chzzk" ? [`live.${name}.example:443`, `api.${name}.example:443`] : [], fs: [], env: name === "chzzk" ? ["CHZZK_KEY"] : [], exec: [],
      exports: name === "streampulse" ? ["chzzk.collect", "soop.collect"] : [] },
    quarantine: name === "soop" ? { since: later(-75), reason: "soop: job collect ran longer than 1 s without waiting (plugins/soop/plugin.lua:88)", kills: 3 } : null,
    rolled_back: name === "chzzk" ? { from: "chzzk@bad0c41fe09a", to: "chzzk@11aa5c41fe09", reason: "62 of 80 tasks failed within 60 s of the reload", at: later(-200) } : null,
  }));
  const kept = (p) => [0, 1, 2].map((n) => ({ hash: n === 0 ? p.generation.slice(0, 12) : `${n}${n}aa5c41fe09`, version: `1.0.${2 - n}`, at: later(-3600 * (n + 1)), serving: n === 0,
    failed: n === 1 ? "62 of 80 tasks failed" : null }));
  const events = (p) => [{ at: later(-75), kind: "quarantine", generation: `${p.name}@${p.generation.slice(0, 12)}`, text: "ended by force three times within 60 s" },
    { at: later(-3600), kind: "replace", generation: `${p.name}@${p.generation.slice(0, 12)}`, text: "files changed" }];
  const drivers = [
    { kind: "store", driver: "postgres", address: "postgresql://maru@db.internal:5432/maru", required: true, up: false, state: "degraded", since: later(-95),
      error: "read-only: the primary does not answer, reads come from db-replica.internal:5432" },
    { kind: "cache", driver: "redis", address: "redis://cache.internal:6379", required: false, up: true, state: "up", since: later(-5400), error: null, latency_ms: 0.412 },
    { kind: "events", driver: "kafka", address: "kafka.internal:9092", required: false, up: false, state: "down", since: later(-20), error: "kafka.internal:9092: Connection refused" },
    { kind: "queue", driver: "postgres", address: "postgresql://maru@db.internal:5432/maru", required: true, up: true, state: "up", since: later(-5400), error: null },
  ];
  const short = drivers.map(({ kind, driver, state, error }) => ({ kind, driver, state, ...(error && { error }) }));
  const nodes = () => [["web-1", ["web"], 8, 0, {}], ["web-2", ["web"], 8, 0, { self: true, drivers: short }], ["jobs-1", ["jobs"], 0, 16, {}],
    ["cron-1", ["jobs", "cron"], 0, 2, { leads: true }], ["jobs-2", ["jobs"], 0, 16, { missing: true, seen_at: later(-340) }]].map(([name, roles, web, job, more]) => ({
    name, version: "0.1.0", started_at: later(-5400), ready: true, leads: false, roles, lanes: { web, job }, drivers: short.filter((d) => d.state === "up"),
    seen_at: now(), missing: false, ...more }));
  const jobs = createJobs();
  let seq = 0;
  const lines = [];
  const log = () => {
    const [level, area, plugin, message, fields] = MESSAGES[seq % MESSAGES.length];
    lines.push({ seq: ++seq, at: now(), level, area, plugin, message, fields });
    if (lines.length > 500) lines.shift();
  };
  for (let i = 0; i < 60; i++) log();

  const find = (name) => plugins.find((p) => p.name === name);
  const reload = (name) => {
    const plugin = find(name);
    if (name === "guestbook") {
      return [422, { ok: false, errors: [{ plugin: name, message: plugin.last_error.message, kept: plugin.generation }] }];
    }
    const from = plugin.generation;
    plugin.generation = `${Math.floor(Math.random() * 1e9).toString(16)}c41fe09a77`;
    plugin.loaded_at = now();
    return [200, { ok: true, plan: [{ plugin: name, action: "replace", reason: "plugin.lua changed", from, to: plugin.generation }], took_ms: 6.4 }];
  };

  const refused = (p) => [422, { ok: false, plan: [], errors: [{ plugin: p.name, refused: true, kept: `${p.name}@${p.generation}`,
    message: `plugins/${p.name}/plugin.lua:4: allow: the plugin would reach more: net api.example.com:443; to allow it: maru reload ${p.name} --allow` }] }];
  const rollback = (p, hash) => {
    const from = p.generation;
    p.generation = hash;
    p.rolled_back = { from, to: hash, reason: "asked for", at: now() };
    return [200, { ok: true, plan: [{ plugin: p.name, action: "replace", reason: "rollback", from, to: hash, permissions: { added: [], removed: ["net api.example.com:443"] } }], took_ms: 5.1 }];
  };

  const admin = {
    role: "operator",
    tick() {
      log();
      plugins.forEach((p, i) => {
        p.cpu_seconds += i === 0 ? 0.11 : 0.01;
        p.requests += i === 0 ? 37 : 0;
      });
    },
    /** @returns {[number, any]|null} status and body, or null when there is no such path */
    answer(method, path, query, body) {
      const [, resource, a, b, c] = path.slice("/admin/v1".length).split("/").map(decodeURIComponent);
      if (method === "POST") {
        if (resource === "plugins" && b === "reload" && a === "simulator" && query.get("allow") !== "true") return refused(find(a));
        if (resource === "plugins" && b === "reload" && find(a)) return reload(a);
        if (resource === "plugins" && b === "rollback" && find(a)) return rollback(find(a), query.get("hash"));
        if (resource === "plugins" && b === "release" && find(a)) return [200, { ok: true, ...Object.assign(find(a), { quarantine: null, state: "serving" }) }];
        if (resource === "reload") return [200, { ok: true, plan: plugins.map((p) => ({ plugin: p.name, action: "keep", reason: "unchanged", from: p.generation, to: p.generation })), took_ms: 1.2 }];
        if (resource === "schedules" && c === "run") return [200, { ok: true, job: 901 }];
        if (resource === "schedules" && (c === "pause" || c === "resume")) return [200, { ok: paused(b, c === "pause") }];
        return jobs.change(resource, a, b, body);
      }
      if (resource === "status") return [200, status(started, admin.role)];
      if (resource === "plugins" && a) return find(a) ? [200, { ...find(a), kept: kept(find(a)), events: events(find(a)) }] : null;
      if (resource === "plugins") return [200, plugins];
      if (resource === "drivers") return [200, drivers];
      if (resource === "nodes") return [200, nodes()];
      if (resource === "model") return [200, { currency: "USD", providers: [], budgets: [], today: [] }];
      if (["queues", "jobs", "workers"].includes(resource)) return jobs.look(resource, a, query);
      if (resource === "schedules") return [200, schedules()];
      if (resource === "logs" && a === "search") return searchLog(lines, query);
      if (resource === "logs") {
        const least = LEVELS.indexOf(query.get("level") || "debug");
        const after = Number(query.get("after") || 0);
        const plugin = query.get("plugin");
        const found = lines.filter((l) => l.seq > after && LEVELS.indexOf(l.level) >= least && (!plugin || l.plugin === plugin));
        return [200, { lines: found.slice(-Number(query.get("limit") || 200)), last: seq }];
      }
      if (resource === "audit") {
        return [200, { entries: [{ at: later(-600), who: "token:admin", action: "reload", target: "streampulse", result: "ok" },
          { at: later(-4000), who: "unix:root", action: "retry", target: "job 871", result: "ok" }] }];
      }
      return null;
    },
  };
  return admin;
}

function status(started, role) {
  return {
    version: "0.1.0", pid: 4120, server_pid: 4127, uptime_s: 90061 + Math.floor((Date.now() - started) / 1000), generation_set: 14,
    simulated: true, memory: { rss_bytes: 96468992 }, cpu_seconds: 71.4 + (Date.now() - started) / 9000, crashes: 0, ready: true, role,
    lanes: [{ id: 0, kind: "web", tasks: 3, connections: 12 }, { id: 1, kind: "web", tasks: 1, connections: 9 },
      { id: 2, kind: "job", tasks: 2, connections: 0 }, { id: 3, kind: "job", tasks: 0, connections: 0 }],
  };
}

const off = new Set();

function paused(id, on) {
  if (on) off.add(id);
  else off.delete(id);
  return true;
}

function schedules() {
  const row = (id, pattern, tz, rest) => ({ id, plugin: "streampulse", pattern, tz, job: `streampulse.${id}`, last_status: rest.last_at ? "fired" : null, enabled: true, paused: off.has(id),
    changes: [], missed: "latest", missed_max: 1, overlap: "skip", jitter: 0, deadline: 0, dropped: { missed: 0, overlap: 0, deadline: 0, failed: 0 }, ...rest });
  const next = (first, step) => [0, 1, 2, 3, 4].map((n) => later(first + n * step));
  return [
    row("collect", "*/5 * * * *", "Asia/Seoul", { next_at: later(131), next: next(131, 300), last_at: later(-169), dropped: { missed: 0, overlap: 2, deadline: 0, failed: 0 } }),
    row("detect", "1-59/5 * * * *", "Asia/Seoul", { next_at: later(191), next: next(191, 300), last_at: later(-109), jitter: 5 }),
    row("backup", "30 2 * * *", "Europe/Berlin", { next_at: "2026-03-27T02:30:00+01:00", last_at: null,
      next: ["2026-03-27T02:30:00+01:00", "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"],
      changes: [{ at: "2026-03-29T03:00:00+02:00", before: "+01:00", after: "+02:00", run: 2 }], missed: "all", missed_max: 100, deadline: 3600 }),
    row("expire", "0 4 * * *", "Asia/Seoul", { next_at: null, next: [], last_at: null, enabled: false }),
  ];
}
