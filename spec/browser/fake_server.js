/**
 * A stand-in for the maru server: public/ and vendor files, the public API with its event stream, the
 * admin API when asked. For looking at the pages and for the page-level spec; it stores nothing.
 *
 *   node spec/browser/fake_server.js [PORT]     ADMIN=open|locked|none  CHZZK=down  SIMULATED=0  TICK=ms
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createAdmin } from "./fake_admin.js";
import { analyse, createModel, iso, live, series, surge } from "./fake_model.js";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };
const CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'";
const SECONDS = { s: 1, m: 60, h: 3600, d: 86400 };
const PAGE_MODULE = `export function mount(root, ctx) {
  root.textContent = "hello from a plugin page, " + ctx.lang.value;
  return () => { root.textContent = ""; };
}`;

/**
 * @param {Object} [options]
 * @param {"open"|"locked"|"none"} [options.admin]   what /admin answers: everything, 401, 404
 * @param {number} [options.tick]                    milliseconds between collections, 0 = by hand
 * @param {number} [options.channels]
 */
export function createFake(options = {}) {
  const model = createModel(options.channels);
  const admin = createAdmin();
  const streams = new Set();
  const sockets = new Set();
  const vendor = mkdtempSync(path.join(tmpdir(), "maru-vendor-"));
  execFileSync(path.join(ROOT, "scripts/vendor"), [vendor]);
  let server = null;
  let port = 0;
  let timer = 0;

  const send = (name, data) => {
    for (const stream of streams) stream.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  const fake = {
    model,
    admin,
    options,
    get url() {
      return `http://127.0.0.1:${port}`;
    },
    /** One collection: every number moves, watchers are told. */
    tick() {
      model.tick++;
      admin.tick();
      for (const platform of ["chzzk", "soop"]) {
        const lives = current(model).filter((l) => l.platform === platform);
        send("live", { as_of: iso(model.now()), platform, total_lives: lives.length, total_viewers: total(lives), changed: lives.length });
      }
    },
    /** A surge on the n-th channel, analysed at once or later. */
    surge(n) {
      const event = surge(model, model.list[n]);
      send("event", event);
      return event;
    },
    analyse(event) {
      analyse(event);
      send("event", event);
    },
    async listen(wanted = port) {
      server = http.createServer((req, res) => respond(req, res));
      server.on("connection", (socket) => {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
      });
      await new Promise((done) => server.listen(wanted, "127.0.0.1", done));
      port = server.address().port;
      if (options.tick) timer = setInterval(() => fake.tick(), options.tick);
    },
    /** Gone, connections and all, as after kill -9; `listen` brings it back on the same port. */
    async stop() {
      clearInterval(timer);
      streams.clear();
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
    async close() {
      await fake.stop();
      rmSync(vendor, { recursive: true, force: true });
    },
  };

  function respond(req, res) {
    const url = new URL(req.url, "http://x");
    const { pathname, searchParams: query } = url;
    if (pathname === "/api/live/stream") return stream(res);
    if (pathname.startsWith("/admin/")) return adminAnswer(req, res, url);
    if (pathname === "/plugins/guestbook/page.js") return reply(res, 200, PAGE_MODULE, TYPES[".js"]);
    const found = api(pathname, query);
    if (found) return json(res, ...found);
    if (pathname.startsWith("/api/")) return problem(res, 404, "not_found");
    return file(res, pathname);
  }

  async function adminAnswer(req, res, url) {
    if (options.admin === "none" || !options.admin) return problem(res, 404, "not_found");
    if (url.pathname === "/admin/login") {
      options.admin = "open";
      res.writeHead(303, { location: "/#/operations", "set-cookie": "maru_admin=x; HttpOnly; SameSite=Strict; Path=/" });
      return res.end();
    }
    if (options.admin === "locked") return problem(res, 401, "unauthorized");
    if (req.method === "POST" && admin.role === "viewer") return problem(res, 403, "forbidden");
    let body = "";
    for await (const piece of req) body += piece;
    const found = admin.answer(req.method, url.pathname, url.searchParams, body ? JSON.parse(body) : null);
    return found ? json(res, ...found) : problem(res, 404, "not_found");
  }

  function api(pathname, query) {
    if (pathname === "/healthz") return [200, { status: "ok" }];
    if (pathname === "/api/pages") {
      return [200, [{ plugin: "guestbook", path: "/guestbook", title: { ko: "방명록", en: "Guest book" }, module: "/plugins/guestbook/page.js" }]];
    }
    if (pathname === "/api/live") return [200, board(model, query)];
    if (pathname === "/api/live/summary") return [200, summary(model)];
    if (pathname === "/api/events") return [200, events(model, query)];
    let match = /^\/api\/events\/(\d+)$/.exec(pathname);
    if (match) {
      const event = model.events.find((e) => e.id === Number(match[1]));
      return event ? [200, event] : null;
    }
    match = /^\/api\/channels\/(\w+)\/([^/]+)(\/series)?$/.exec(pathname);
    const channel = match && model.list.find((c) => c.platform === match[1] && c.id === match[2]);
    if (!channel) return null;
    if (match[3]) {
      const step = /^(\d+)([smhd])$/.exec(query.get("step") ?? "");
      return [200, series(model, channel, Number(query.get("from") ?? 0), Number(query.get("to") ?? Infinity), step ? Number(step[1]) * SECONDS[step[2]] : null)];
    }
    const all = series(model, channel, 0, Infinity, null);
    return [200, { ...live(model, channel), live: true, first_seen: iso(all.at[0]), last_seen: iso(model.now()), peak: Math.max(...all.viewers),
      events: model.events.filter((e) => e.channel_id === channel.id).reverse().slice(0, 20) }];
  }

  function stream(res) {
    res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    res.write(`event: hello\ndata: ${JSON.stringify({ as_of: iso(model.now()), simulated: model.simulated })}\n\n`);
    streams.add(res);
    res.on("close", () => streams.delete(res));
  }

  function file(res, pathname) {
    const name = pathname === "/" ? "/index.html" : path.posix.normalize(pathname);
    const full = name.startsWith("/vendor/") ? path.join(vendor, name.slice(8)) : path.join(ROOT, "public", name);
    if (!TYPES[path.extname(full)] || !existsSync(full)) return problem(res, 404, "not_found");
    return reply(res, 200, readFileSync(full), TYPES[path.extname(full)]);
  }

  return fake;
}

const current = (model) => model.list.map((c) => live(model, c)).filter((l) => !model.broken.has(l.platform));
const total = (lives) => lives.reduce((sum, l) => sum + l.viewers, 0);

function board(model, query) {
  const q = (query.get("q") ?? "").toLowerCase();
  const sort = query.get("sort") ?? "viewers";
  const sign = query.get("order") === "asc" ? 1 : -1;
  const value = (l) => (sort === "started" ? Date.parse(l.started_at) : l[sort] ?? -Infinity);
  const lives = current(model)
    .filter((l) => !query.get("platform") || l.platform === query.get("platform"))
    .filter((l) => !query.get("category") || l.category === query.get("category"))
    .filter((l) => `${l.channel_name} ${l.title}`.toLowerCase().includes(q))
    .sort((a, b) => sign * (value(a) - value(b)));
  const from = Number(query.get("cursor") ?? 0);
  const limit = Number(query.get("limit") ?? 50);
  return { as_of: lives.length ? iso(model.now()) : null, simulated: model.simulated, total_lives: lives.length, total_viewers: total(lives),
    lives: lives.slice(from, from + limit), next: from + limit < lives.length ? String(from + limit) : null };
}

function summary(model) {
  const lives = current(model);
  const categories = new Map();
  for (const l of lives) {
    const c = categories.get(l.category) ?? { category: l.category, lives: 0, viewers: 0 };
    c.lives++;
    c.viewers += l.viewers;
    if (l.category) categories.set(l.category, c);
  }
  const platforms = ["chzzk", "soop"].map((platform) => {
    const mine = lives.filter((l) => l.platform === platform);
    const down = model.broken.has(platform);
    return { platform, lives: mine.length, viewers: total(mine), status: down ? "error" : "ok",
      error: down ? `${platform.toUpperCase()} unreachable: could not resolve host` : null,
      collected_at: down ? null : iso(model.now()), next_at: iso(model.now() + 300), source: "web" };
  });
  return { as_of: iso(model.now()), simulated: model.simulated, platforms, categories: [...categories.values()].sort((a, b) => b.viewers - a.viewers).slice(0, 20),
    total_lives: lives.length, total_viewers: total(lives), events_today: model.events.length };
}

function events(model, query) {
  const found = [...model.events].reverse()
    .filter((e) => ["status", "platform", "channel_id"].every((key) => !query.get(key) || e[key] === query.get(key)));
  const from = Number(query.get("cursor") ?? 0);
  const limit = Number(query.get("limit") ?? 50);
  return { events: found.slice(from, from + limit), next: from + limit < found.length ? String(from + limit) : null };
}

function reply(res, status, body, type) {
  res.writeHead(status, { "content-type": type, "content-security-policy": CSP, "cache-control": "no-cache" });
  res.end(body);
}

function json(res, status, body) {
  reply(res, status, JSON.stringify(body), "application/json");
}

function problem(res, status, code) {
  const title = http.STATUS_CODES[status];
  reply(res, status, JSON.stringify({ type: "about:blank", title, status, detail: title, code }), "application/problem+json");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fake = createFake({ admin: process.env.ADMIN ?? "open", tick: Number(process.env.TICK ?? 2000) });
  if (process.env.CHZZK === "down") fake.model.broken.add("chzzk");
  if (process.env.SIMULATED === "0") fake.model.simulated = false;
  await fake.listen(Number(process.argv[2] ?? 8099));
  let n = 0;
  setInterval(() => {
    const event = fake.surge((n++ * 11 + 4) % fake.model.list.length);
    setTimeout(() => fake.analyse(event), 3000);
  }, 15000);
  process.stdout.write(`${fake.url}\n`);
}
