/**
 * A stand-in for the API of inference inside the browser (Playwright answers instead of a server), by its contract: for
 * the states that a healthy server shows rarely. Whether the real one speaks like this, inference.spec.mjs finds out.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { sample } from "../../plugins/inference/public/series.js";

const FOLDER = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../plugins/inference/public");
const TYPES = { ".js": "text/javascript", ".css": "text/css" };
const PAGE = { plugin: "inference", path: "/inference", title: { ko: "추론", en: "Inference" }, module: "/plugins/inference/page.js" };
const NOW = () => Date.now();
const iso = (ms) => new Date(ms).toISOString();

/** A row as the API shows it. @param {number} n @param {string} status @param {Object} [more] */
export function row(n, status = "completed", more = {}) {
  const submitted = NOW() - n * 7000;
  const history = sample(["seasonal", "trend", "noise", "steps"][n % 4], 240).slice(-48);
  const last = history[47];
  const horizon = 24;
  const forecast = Array.from({ length: horizon }, (_, i) => last + 6 * (Math.sin((i + 48) / 3.8) - Math.sin(48 / 3.8)));
  const done = status === "completed";
  return {
    id: `0193-${1000 - n}`, model_name: n % 5 === 4 ? "moving_average" : n % 2 ? "nlinear_timeseries" : "lstm_timeseries", model_version: "1", status,
    submitted_at: iso(submitted), started_at: status === "queued" ? null : iso(submitted + 3), finished_at: ["queued", "running"].includes(status) ? null : iso(submitted + 5 + (n % 7)),
    processing_ms: done ? 1.2 + (n % 7) / 3 : null, points: 240, metadata: {},
    result: done ? { horizon, quantiles: [0.1, 0.5, 0.9], forecast, bands: [forecast.map((v, i) => v - 1 - i * 0.15), forecast, forecast.map((v, i) => v + 1 + i * 0.15)], history,
      values: n % 5 === 4 ? history.map((v, i) => (history[Math.max(0, i - 1)] + v) / 2) : undefined, window: n % 5 === 4 ? 2 : undefined } : null,
    error: status === "failed" ? { code: "too_short", message: "the series has 3 points, the model needs 16" } : null,
    ...more,
  };
}

const version = (v, source) => ({ version: v, created_at: iso(NOW() - 86400000), bytes: 412345, sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", source });

export const MODELS = [
  { name: "nlinear_timeseries", kind: "nlinear", current: "1", versions: [version("1", "shipped"), version("2", "uploaded")], lookback: 336, min_points: 32, horizon: 96, quantiles: [0.1, 0.5, 0.9],
    scores: { ETTh1: { 96: { mse: 0.3741, mae: 0.3943 }, 192: { mse: 0.4082, mae: 0.4151 } } }, shadow: "2",
    note: { ko: "ETTh1에서 계절 나이브(0.512)보다 낫고, 공개된 PatchTST(0.370)보다는 조금 못합니다.", en: "Better than the seasonal naive (0.512) on ETTh1; a little worse than the published PatchTST (0.370)." } },
  { name: "lstm_timeseries", kind: "lstm", current: "1", versions: [version("1", "shipped")], lookback: 168, min_points: 24, horizon: 24, quantiles: [0.1, 0.5, 0.9], scores: { ETTh1: { 96: { mse: 0.4391, mae: 0.4423 } } }, shadow: null,
    note: { ko: "계절 나이브보다 낫지만 선형 모델에는 못 미칩니다.", en: "Better than the seasonal naive, not as good as the linear model." } },
  { name: "moving_average", kind: "moving_average", current: "1", versions: [version("1", "shipped")], lookback: 1000000, min_points: 1, horizon: 96, quantiles: [0.1, 0.5, 0.9], scores: {}, shadow: null, note: { ko: "가장 단순한 기준입니다.", en: "The simplest baseline." } },
];

const COMPARED = { current: "1", shadow: "2", series: 512, failed: 0, mean_difference: 0.0312, largest_difference: 0.412, judged: 128, mae_current: 0.941, mae_shadow: 0.902, ms_current: 0.31, ms_shadow: 0.34 };

/**
 * @param {import("playwright-core").Page} page
 * @param {Object} state   what is answered; changed while the page runs
 * @param {any[]} state.rows @param {any[]} [state.models] @param {number} [state.down] every answer is this status
 * @param {number} [state.slow] milliseconds before an answer @param {() => void} [state.onCancel]
 */
export async function standIn(page, state) {
  const sockets = new Set();
  const totals = () => ({ total_jobs: state.rows.length, completed: state.rows.filter((r) => r.status === "completed").length, failed: state.rows.filter((r) => r.status === "failed").length, success_rate: 99.5 });
  await page.route("**/api/pages", (route) => route.fulfill({ json: [PAGE] }));
  await page.route("**/plugins/inference/**", (route) => {
    const name = path.basename(new URL(route.request().url()).pathname);
    return route.fulfill({ contentType: TYPES[path.extname(name)], body: readFileSync(path.join(FOLDER, name)) });
  });
  await page.route("**/api/v1/**", async (route) => {
    if (state.slow) await new Promise((done) => setTimeout(done, state.slow));
    const [status, json] = state.down ? [state.down, { title: "Service Unavailable", detail: "the store is away" }] : answer(route.request(), state);
    return route.fulfill({ status, json }).catch(() => {});
  });
  await page.routeWebSocket("**/api/v1/dashboard/ws", (socket) => {
    sockets.add(socket);
    socket.onClose(() => sockets.delete(socket));
    if (state.down) socket.close();
    else push(socket);
  });
  const push = (socket) => socket.send(JSON.stringify({ type: "update", timestamp: iso(NOW()).slice(0, 19), recent_results: state.rows.slice(0, 8), statistics: totals() }));
  return { update: () => sockets.forEach(push), sockets };
}

function answer(request, state) {
  const url = new URL(request.url());
  const where = url.pathname.replace("/api/v1/", "");
  const query = url.searchParams;
  if (where === "models") return [200, { models: state.models ?? MODELS }];
  if (where.endsWith("/comparison")) return [200, { model_name: "nlinear_timeseries", current: "1", shadow: "2", comparisons: [COMPARED] }];
  if (where.startsWith("models/")) return [401, { title: "Unauthorized", detail: "this needs the operator's token" }];
  if (where === "inference/statistics") return [200, statistics(state)];
  if (where === "inference/results") {
    const found = state.rows.filter((r) => ["status", "model_name"].every((key) => !query.get(key) || r[key] === query.get(key)));
    const from = Number(query.get("cursor") ?? 0), to = from + Number(query.get("limit") ?? 50);
    return [200, { results: found.slice(from, to), next: to < found.length ? String(to) : null }];
  }
  if (where === "inference/submit" || where === "inference/backtest") {
    const id = `new-${state.rows.length}`;
    state.rows.unshift(row(0, "queued", { id }));
    return [202, { id, status: "queued", model_name: "lstm_timeseries", model_version: "1", status_url: `/api/v1/inference/${id}` }];
  }
  if (request.method() === "DELETE") {
    state.onCancel();
    return [200, { status: "cancelled" }];
  }
  const found = state.rows.find((r) => `inference/${r.id}` === where);
  return found ? [200, found] : [404, { title: "Not Found", detail: "there is no such job" }];
}

function statistics(state) {
  const minutes = state.rows.length === 0 ? [] : Array.from({ length: 15 }, (_, i) => ({ at: iso(NOW() - (14 - i) * 60000), completed: 400 + ((i * 7919) % 260), failed: i % 6 === 4 ? 21 : 0 }));
  const times = { p50: 3.4, p95: 9.8, p99: 21.7 };
  return { window: 900, submitted_per_second: state.rows.length ? 8.62 : 0, completed_per_second: state.rows.length ? 8.41 : 0, success_rate: 99.5, latency_ms: state.rows.length ? times : { p50: null, p95: null, p99: null }, processing_ms: state.rows.length ? { p50: 0.42, p95: 1.1, p99: 2.9 } : { p50: null, p95: null, p99: null },
    queue_depth: 3, by_model: state.rows.length ? [["lstm_timeseries", 5210, 0, 2.1], ["nlinear_timeseries", 1804, 42, 1.2], ["moving_average", 498, 0, 0.8]].map(([model_name, completed, failed, p50]) => ({ model_name, completed, failed, p50, p99: p50 * 6 })) : [],
    per_minute: minutes };
}
