/** What every part of these pages is written with: markup, hooks, words, and numbers as they are shown. */
import { WORDS } from "./words.js";

/** Where the API is. */
export const API = "/api/v1/inference";

/** What a submission may come to. */
export const ENDS = ["completed", "failed", "cancelled", "expired"];
const PILLS = { queued: "idle", running: "ok", completed: "ok", failed: "bad", cancelled: "idle", expired: "warn" };

/** @param {import("/app.js").PageContext} ctx */
export function makeKit(ctx) {
  const { html } = ctx.markup;
  const { Pill } = ctx.components;
  const t = ctx.words(WORDS);
  const { count, decimal, compact, signed } = ctx.format;
  const language = () => ctx.lang.value;
  const known = (n) => typeof n === "number" && Number.isFinite(n);

  const kit = {
    ...ctx.markup, ...ctx.hooks, ...ctx.components, ctx, t,
    count: (n) => count(n, language()),
    signed: (n) => signed(n, language()),
    /** One of an axis' marks, which are `step` apart and at most so large: all of them alike, and no longer than there is room. */
    axis(v, step, most) {
      if (v === 0) return "0";
      if (most >= 1e15 || most < 1e-3) return Number(v.toPrecision(3)).toExponential().replace("e+", "e");
      return most >= 10000 ? compact(v, language(), 2) : decimal(v, language(), Math.max(0, Math.min(4, Math.ceil(-Math.log10(step) - 1e-9))));
    },
    /** A value as short as it can be told. */
    value(v) {
      if (!known(v)) return "–";
      const size = Math.abs(v);
      if (size !== 0 && (size < 1e-4 || size >= 1e9)) return v.toExponential(2);
      return decimal(v, language(), size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 || v === 0 ? 2 : 4);
    },
    rate: (n) => (!known(n) ? "–" : n >= 1000 ? compact(n, language()) : decimal(n, language(), n >= 100 || n === 0 ? 0 : n >= 10 ? 1 : 2)),
    ms(n) {
      if (!known(n)) return "–";
      if (n >= 1000) return `${decimal(n / 1000, language(), n < 10000 ? 2 : 1)} s`;
      return `${decimal(n, language(), n >= 100 ? 0 : n >= 10 ? 1 : 2)} ms`;
    },
    /** A span of two instants, which are told to the millisecond. */
    span: (n) => (!known(n) ? "–" : n < 1 ? "< 1 ms" : n < 1000 ? `${count(n, language())} ms` : kit.ms(n)),
    /** 0.1 → "10%" */
    quantile: (q) => (known(q) ? `${Math.round(q * 100)}%` : "–"),
    /** 99.5, of a hundred. */
    share: (n) => (known(n) ? `${decimal(n, language(), n === 100 || n === 0 ? 0 : n > 99.9 ? 2 : 1)}%` : "–"),
    ago: (at, now) => ctx.format.ago(at, now, language()),
    moment: (at) => ctx.format.moment(at, language()),
    clock: (at) => ctx.format.clock(at, language()),
    bytes: (n) => ctx.format.bytes(n, language()),
    /** A model's name, in words where it is a baseline. */
    modelName: (name) => (t(`m.${name}`) === `m.${name}` ? name : t(`m.${name}`)),
    /** Why one ended without a result, in words where they are known. */
    why: (error) => (t(`why.${error.code}`) === `why.${error.code}` ? error.message ?? String(error) : t(`why.${error.code}`)),
    reason: (code) => (t(`reason.${code}`) === `reason.${code}` ? code : t(`reason.${code}`)),
    href(query = {}) {
      const text = ctx.api.search(query);
      return `#/inference${text}`;
    },
    going: (row) => row?.status === "queued" || row?.status === "running",
    Status: ({ status }) => html`<${Pill} kind=${PILLS[status] ?? "idle"}><span data-status=${status}>${t(`status.${status}`)}</span></${Pill}>`,
  };
  return kit;
}

/** Milliseconds from one instant to another, NaN while there is no other. */
export function between(from, to) {
  return from && to ? Date.parse(to) - Date.parse(from) : NaN;
}

/**
 * Sends a series, or a model; a refusal is an ApiError whose body names the place.
 * @param {any} ctx @param {string} path @param {{query?: any, type: string, body: BodyInit, method?: string}} request
 */
export async function send(ctx, path, { query, type, body, method = "POST" }) {
  let response;
  try {
    response = await fetch(path + ctx.api.search(query), { method, credentials: "same-origin", body,
      headers: { accept: "application/json", "content-type": type } });
  } catch {
    throw new ctx.api.ApiError(0, "no connection");
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ctx.api.ApiError(response.status, answer?.detail ?? answer?.title ?? `HTTP ${response.status}`, answer);
  return answer;
}

/** Of these the index is where the series ends or should end: no point of it is wrong. */
const WHOLE = ["too_short", "too_long", "empty"];

/** Where a refusal points to: a point of the series, from 0, or -1. @param {any} error an ApiError */
export function placeOf(error) {
  const { field, index, code } = error?.body ?? {};
  return field === "data" && Number.isInteger(index) && !WHOLE.includes(code) ? index : -1;
}
