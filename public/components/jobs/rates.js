/** What went through over time: pushed, done and failed as lines, the wait below them. */
import { html, useRef, useState } from "../../lib/html.js";
import { useResource } from "../../lib/hooks.js";
import { clock, compact, decimal, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { bundle, ceiling, curve } from "../../lib/jobs.js";
import { lang } from "../../lib/settings.js";
import { Choice, Failure } from "../bits.js";

const LINES = ["pushed", "done", "failed"];
const WAITS = ["wait_p50_ms", "wait_p99_ms"];
/* Which part of the answer, how many of its steps make a point, how often to ask. */
const RANGES = { "5m": ["seconds", 3, 3000], "1h": ["minutes", 1, 15000], "24h": ["minutes", 12, 60000] };
const WIDTH = 600;
const TALL = 150;
const LOW = 64;

/** @param {{ctx: import("../../app.js").PageContext, queue: string}} props   queue "" = all of them */
export function Rates({ ctx, queue }) {
  const [range, setRange] = useState("5m");
  const [part, size, every] = RANGES[range];
  const rates = useResource((signal) => ctx.api.get("/admin/v1/jobs/rates", { queue }, signal), [queue],
    { stream: ctx.stream, every, keep: `rates ${queue}` });
  return html`
    <section class="section rates" aria-labelledby="rates-title" data-rates=${queue}>
      <div class="section-head"><h2 id="rates-title">${queue || t("jobs.all_queues")}</h2>
        <${Choice} name="rates-range" label=${t("jobs.range")} value=${range} onChange=${setRange} options=${Object.keys(RANGES).map((r) => [r, t(`jobs.range.${r}`)])} /></div>
      ${!rates.data && rates.error ? html`<${Failure} error=${rates.error} retry=${rates.reload} />`
        : html`<${Chart} columns=${columns(rates.data?.[part], size, range === "1h" ? 60 : 0)} daily=${range === "24h"} />`}
    </section>`;
}

/** Rates a second of every line, the wait at its worst, and when each point ends. */
function columns(part, size, last) {
  if (!part) return null;
  const cut = (list) => (last ? list.slice(-last) : list);
  const seconds = part.step * size;
  const result = { seconds, at: [] };
  for (const name of LINES) result[name] = bundle(cut(part[name]), size).map((n) => n / seconds);
  for (const name of WAITS) result[name] = bundle(cut(part[name]), size, "most");
  const end = part.from + part.pushed.length * part.step;
  result.at = result.pushed.map((_, i) => end - (result.pushed.length - 1 - i) * seconds);
  return result;
}

function Chart({ columns: c, daily }) {
  const [at, setAt] = useState(-1);
  const place = useRef(null);
  const n = c?.at.length ?? 0;
  const point = (event) => {
    const box = place.current.getBoundingClientRect();
    setAt(Math.max(0, Math.min(n - 1, Math.round(((event.clientX - box.left) / box.width) * (n - 1)))));
  };
  const onKey = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || n === 0) return;
    event.preventDefault();
    setAt((i) => Math.max(0, Math.min(n - 1, (i < 0 ? n - 1 : i) + step)));
  };
  const i = at >= 0 && at < n ? at : n - 1;
  const most = ceiling(Math.max(0, ...LINES.flatMap((name) => c?.[name] ?? [])));
  const longest = ceiling(Math.max(0, ...(c?.wait_p99_ms ?? []).map((v) => v ?? 0)));
  return html`
    <div class="rates-box" tabindex="0" role="group" aria-label=${t("jobs.chart")} onKeyDown=${onKey} onPointerMove=${point} onPointerLeave=${() => setAt(-1)}>
      <${Reading} c=${c} i=${i} daily=${daily} />
      <div class="rates-plot" ref=${place}>
        <${Plot} height=${TALL} top=${most} label=${`${rate(most)}/s`} names=${LINES} c=${c} />
        <${Plot} height=${LOW} top=${longest} label=${wait(longest)} names=${WAITS} c=${c} />
        ${n > 0 && at >= 0 && html`<i class="rates-cursor" style=${`inset-inline-start:${(i / Math.max(1, n - 1)) * 100}%`}></i>`}
      </div>
      <p class="rates-axis"><span>${n ? instant(c.at[0], daily) : ""}</span><span>${n ? instant(c.at[Math.floor((n - 1) / 2)], daily) : ""}</span><span>${n ? instant(c.at[n - 1], daily) : ""}</span></p>
    </div>`;
}

/** The numbers under the pointer, or the newest: text of its own, so that nothing floats over the lines. */
function Reading({ c, i, daily }) {
  return html`<p class="rates-read"><span class="rates-when">${c ? instant(c.at[i], daily) : "–"}</span>
    ${LINES.map((name) => html`<span key=${name} class=${`key key-${name}`}><i></i>${t(`jobs.${name}`)} <b>${c ? rate(c[name][i]) : "–"}</b>/s</span>`)}
    ${WAITS.map((name) => html`<span key=${name} class=${`key key-${name}`}><i></i>${t(`jobs.${name}`)} <b>${c ? wait(c[name][i]) : "–"}</b></span>`)}</p>`;
}

function Plot({ height, top, label, names, c }) {
  return html`
    <svg class="rates-lines" viewBox=${`0 -2 ${WIDTH} ${height + 4}`} height=${height} preserveAspectRatio="none" aria-hidden="true">
      ${[0, 0.5, 1].map((y) => html`<line key=${y} class="rates-grid" x1="0" x2=${WIDTH} y1=${height * y} y2=${height * y} />`)}
      ${c && names.includes("done") && html`<path class="rates-area line-done" d=${area(c.done, top)} />`}
      ${c && names.map((name) => html`<path key=${name} class=${`rates-line line-${name}`} d=${curve(c[name], WIDTH, height, top)} />`)}
    </svg><span class="rates-top" style=${`height:${height}px`}>${label}</span>`;
}

function area(values, top) {
  const line = curve(values, WIDTH, TALL, top);
  return line && `${line}L${WIDTH} ${TALL}L0 ${TALL}Z`;
}

function instant(at, daily) {
  return daily ? moment(at, lang.value) : clock(at, lang.value);
}

/** A rate as short as it can be told. */
export function rate(n) {
  if (n === null || n === undefined) return "–";
  return n >= 1000 ? compact(n, lang.value) : decimal(n, lang.value, n >= 100 || Number.isInteger(n) ? 0 : n >= 10 ? 1 : 2);
}

/** Milliseconds in the unit that suits them. */
export function wait(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return ms > 0 ? `${decimal(ms, lang.value, 2)} ms` : "< 1 ms";
  if (ms < 1000) return `${decimal(ms, lang.value, ms < 10 ? 1 : 0)} ms`;
  const s = ms / 1000;
  if (s < 120) return `${decimal(s, lang.value, s < 10 ? 1 : 0)} s`;
  return s < 7200 ? `${decimal(s / 60, lang.value, 0)} min` : `${decimal(s / 3600, lang.value, 1)} h`;
}
