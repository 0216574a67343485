/** The log, searched: how many lines when, by level and plugin, the lines themselves, and those that come. */
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { useResource, useSettled, useSignal } from "../../lib/hooks.js";
import { clock, compact, count, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { href } from "../../lib/route.js";
import { lang } from "../../lib/settings.js";
import { Choice, Note } from "../bits.js";
import { Log } from "../ops/log.js";
import { Parts } from "../ops/log_search.js";
import { Value } from "./value.js";

const PATH = "/operations/logs";
const PAGE = 100;
const STEPS = 60;
const EVERY = 2000;
const COUNT_EVERY = 6000; /* counting looks at every line that is found */
const MOST = 1000;
const LEVELS = ["debug", "info", "warn", "error"];
const RANGES = { "15m": 900, "1h": 3600, "1d": 86400, "7d": 604800, "30d": 2592000 };
const FACETS = ["level", "plugin", "area", "node"];

/** @param {{ctx: import("../../app.js").PageContext}} props */
export function Logs({ ctx }) {
  const route = useSignal(ctx.route);
  const read = (name, otherwise = "") => route.query.get(name) ?? otherwise;
  const query = { q: read("q"), level: read("level", "info"), plugin: read("plugin"), area: read("area"), node: read("node"), range: read("range", "1d") in RANGES ? read("range", "1d") : "1d", begin: read("begin"), end: read("end") };
  const go = (more) => location.replace(href(PATH, { ...query, ...more }));
  const [live, setLive] = useState(true);
  const ask = filterOf(query);
  const name = JSON.stringify(ask);
  const follow = live && !query.begin;
  const counts = useResource((signal) => ctx.api.get("/admin/v1/logs/search", { ...ask, limit: 0, facets: 1, histogram: STEPS }, signal), [name], { stream: ctx.stream, every: follow ? COUNT_EVERY : 0, keep: `log counts ${name}` });
  const bad = useResource((signal) => ctx.api.get("/admin/v1/logs/search", { ...ask, level: "error", limit: 0, histogram: STEPS }, signal), [name], { stream: ctx.stream, every: follow ? COUNT_EVERY : 0, keep: `log errors ${name}` });
  const found = useLines(ctx, ask, name, follow);
  if (counts.error?.status === 404) return html`<${Note} title=${t("ops.log_search_off")}><p class="muted">${t("logs.off_text")}</p></${Note}><${Log} ctx=${ctx} />`;
  return html`
    <${Search} query=${query} go=${go} />
    <div class="logs-bar">
      <${Choice} name="logs-level" label=${t("ops.log_level")} value=${query.level} onChange=${(level) => go({ level })} options=${LEVELS.map((l) => [l, t(`ops.level.${l}`)])} />
      <${Choice} name="logs-range" label=${t("ops.log_range")} value=${query.begin ? "" : query.range} onChange=${(range) => go({ range, begin: "", end: "" })} options=${Object.keys(RANGES).map((r) => [r, t(`logs.range.${r}`)])} />
      ${query.begin && html`<button class="state" aria-pressed="true" onClick=${() => go({ begin: "", end: "" })} data-logs-span>${moment(Number(query.begin), lang.value)} – ${clock(Number(query.end), lang.value)} ✕</button>`}
      <label class="check"><input type="checkbox" checked=${follow} disabled=${Boolean(query.begin)} onChange=${(e) => setLive(e.target.checked)} data-logs-live /> ${t("ops.log_follow")}</label></div>
    <${Histogram} all=${counts.data?.histogram} bad=${bad.data?.histogram} go=${go} />
    <div class="logs-body">
      <${Facets} facets=${counts.data?.facets} query=${query} go=${go} />
      <${Lines} found=${found} total=${counts.data?.total} />
    </div>`;
}

/** What the admin API is asked: a span that was chosen, or so far back. */
function filterOf({ q, level, plugin, area, node, range, begin, end }) {
  return { q, level, plugin, area, node, ...(begin ? { from: begin, to: end } : { since: `${RANGES[range]}s` }) };
}

function Search({ query, go }) {
  const [typed, setTyped] = useState(query.q);
  const settled = useSettled(typed, 300);
  const sent = useRef(query.q);
  useEffect(() => {
    if (query.q !== sent.current) setTyped(query.q);
    sent.current = query.q;
  }, [query.q]);
  useEffect(() => {
    if (settled.trim() === sent.current) return;
    sent.current = settled.trim();
    go({ q: settled.trim() });
  }, [settled]);
  return html`<div class="monitor-search"><input class="field" type="search" value=${typed} placeholder=${t("ops.log_search")} aria-label=${t("ops.log_search")} title=${t("ops.log_search_help")}
    onInput=${(e) => setTyped(e.target.value)} autocomplete="off" spellcheck="false" data-logs-search /></div>`;
}

/** A bar for each step of the time, its errors in front; a press narrows to that time. */
function Histogram({ all, bad, go }) {
  const language = lang.value;
  const counts = all?.counts ?? [];
  const most = Math.max(1, ...counts);
  const errors = bad && all && bad.step === all.step ? (i) => bad.counts[i + Math.round((all.from - bad.from) / all.step)] ?? 0 : () => 0;
  const at = (i) => all.from + i * all.step;
  return html`
    <figure class="histogram" aria-label=${t("logs.histogram")} data-histogram>
      <span class="histogram-top muted">${compact(most, language)}</span>
      <div class="histogram-bars">${counts.map((n, i) => html`
        <button key=${i} class="bar" disabled=${n === 0} title=${`${moment(at(i), language)} · ${t("ops.log_total", { n: count(n, language) })}`} aria-label=${`${moment(at(i), language)}: ${count(n, language)}`}
          onClick=${() => go({ begin: String(at(i)), end: String(at(i + 1)) })} data-bar=${n}><i style=${{ height: `${(n / most) * 100}%` }}><b style=${{ height: `${n ? (Math.min(n, errors(i)) / n) * 100 : 0}%` }}></b></i></button>`)}</div>
      <figcaption class="rates-axis"><span>${all ? moment(all.from, language) : ""}</span><span>${all ? moment(at(counts.length), language) : ""}</span></figcaption>
    </figure>`;
}

function Facets({ facets, query, go }) {
  const language = lang.value;
  const shown = FACETS.filter((name) => query[name] && name !== "level" ? true : (facets?.[name]?.length ?? 0) > (name === "node" ? 1 : 0));
  return html`<div class="facets" data-facets>${shown.map((name) => html`
    <section key=${name}><h3>${t(`logs.facet.${name}`)}</h3>
      <ul>${withChosen(facets?.[name] ?? [], name === "level" ? "" : query[name]).map((f) => {
        const on = query[name] === f.value && name !== "level";
        return html`<li key=${f.value}><button class="facet" aria-pressed=${on} onClick=${() => go({ [name]: on ? "" : f.value })} data-facet=${`${name}:${f.value}`}><span>${f.value || "–"}</span><b>${count(f.count, language)}</b></button></li>`;
      })}</ul></section>`)}</div>`;
}

/** The most frequent, and what was chosen though nothing has it: so that it can be let go. */
function withChosen(list, chosen) {
  const shown = list.slice(0, 12);
  return !chosen || shown.some((f) => f.value === chosen) ? shown : [{ value: chosen, count: list.find((f) => f.value === chosen)?.count ?? 0 }, ...shown];
}

const NOTHING = { lines: [], next: null, busy: true, error: null };

function useLines(ctx, ask, name, follow) {
  const [state, setState] = useState(NOTHING);
  const run = useRef(null);
  const look = async (after, merge) => {
    run.current?.abort();
    const { signal } = run.current = new AbortController();
    try {
      const answer = await ctx.api.get("/admin/v1/logs/search", { ...ask, limit: PAGE, after }, signal);
      if (!signal.aborted) setState((s) => merge(s, answer));
    } catch (error) {
      if (!signal.aborted) setState((s) => ({ ...s, busy: false, error }));
    }
  };
  const first = (s, answer) => ({ lines: answer.hits, next: answer.next ?? null, busy: false, error: null });
  const fresh = (s, answer) => {
    const lines = distinct([...answer.hits, ...s.lines]).slice(0, Math.max(MOST, s.lines.length));
    return lines.length === s.lines.length && lines[0]?.id === s.lines[0]?.id && !s.error ? s : { ...s, lines, error: null, busy: false };
  };
  useEffect(() => {
    setState((s) => ({ ...s, busy: true, error: null }));
    look(null, first);
    return () => run.current?.abort();
  }, [name]);
  useEffect(() => {
    if (!follow) return undefined;
    const timer = setInterval(() => document.hidden || look(null, fresh), EVERY);
    return () => clearInterval(timer);
  }, [name, follow]);
  return { ...state, more: () => look(state.next, (s, answer) => ({ lines: distinct([...s.lines, ...answer.hits]), next: answer.next ?? null, busy: false, error: null })) };
}

function distinct(lines) {
  const seen = new Set();
  return lines.filter((line) => !seen.has(line.id) && seen.add(line.id));
}

function Lines({ found, total }) {
  const language = lang.value;
  return html`
    <div class="logs-found">
      <p class="monitor-said muted" role="status" data-logs-said>${found.error ? html`<span class="bad-text">${found.error.message}</span>` : total === undefined ? t("ops.log_searching") : t("ops.log_total", { n: count(total, language) })}</p>
      <div class="log log-found log-tall" role="region" tabindex="0" aria-label=${t("ops.log_found")} data-logs>
        ${!found.busy && !found.error && found.lines.length === 0 && html`<p class="muted">${t("logs.none")}</p>`}
        ${found.lines.map((line) => html`<${Line} key=${line.id} line=${line} />`)}
        ${found.next && html`<p><button class="button" onClick=${found.more} data-logs-more>${t("ops.log_more")}</button></p>`}
      </div>
    </div>`;
}

function Line({ line }) {
  const language = lang.value;
  const [open, setOpen] = useState(false);
  const fields = open ? fieldsOf(line.fields) : {};
  return html`
    <div class=${`log-line log-line-dated log-${line.level}${open ? " log-open" : ""}`} data-line=${line.id}>
      <time>${moment(line.at, language)}</time><span class="log-level">${line.level}</span><span class="log-area" title=${line.generation ?? null}>${line.plugin ?? line.area}</span>
      <button class="log-text log-press" aria-expanded=${open} onClick=${() => setOpen(!open)}><${Parts} parts=${line.highlight?.message} text=${line.message} /> ${!open && line.fields && html`<span class="log-fields"><${Parts} parts=${line.highlight?.fields} text=${line.fields} /></span>`}</button>
      ${open && html`<div class="log-more">
        <p class="log-links">${new Date(line.at * 1000).toISOString()} · ${line.area} · ${line.node} ${line.generation && html` · ${line.generation}`}
          ${fields.job && html` · <a href=${`#/operations/jobs/${fields.job}`} data-line-job>${t("logs.to_job", { id: fields.job })}</a> · <a href=${linesOfJob(fields.job)}>${t("logs.of_job")}</a>`}
          ${fields.trace && html` · <a href=${href(PATH, { q: `"${fields.trace}"`, level: "debug", range: "7d" })} data-line-trace>${t("logs.of_trace")}</a>`}</p>
        ${line.fields && html`<${Value} encoding="json" text=${line.fields} size=${line.fields.length} />`}</div>`}
    </div>`;
}

/** Where the lines that a job wrote are. @param {string|number} id */
export const linesOfJob = (id) => href(PATH, { q: `"job ${id}"`, level: "debug", range: "7d" });

function fieldsOf(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
