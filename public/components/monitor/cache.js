/** The cache: how full it is and how often it helps, its entries by beginning or pattern, one entry with its value. */
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { useNow, useResource, useSettled, useSignal } from "../../lib/hooks.js";
import { bytes, count, duration, percent } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { shares } from "../../lib/rates.js";
import { href } from "../../lib/route.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Pill } from "../bits.js";
import { Value } from "./value.js";

const PATH = "/operations/cache";
const PAGE = 200;
const STEPS = 25; /* pages asked for in a row, when what matches is rare */
const KINDS = { string: "idle", number: "idle", boolean: "idle", table: "ok", other: "warn" };

/** @param {{ctx: import("../../app.js").PageContext, may: boolean, every: number}} props */
export function Cache({ ctx, may, every }) {
  const route = useSignal(ctx.route);
  const query = { q: route.query.get("q") ?? "", plugin: route.query.get("plugin") ?? "", key: route.query.get("key") ?? "", hex: route.query.get("hex") ?? "" };
  const chosen = query.hex || query.key;
  const go = (more) => location.replace(href(PATH, { ...query, ...more }));
  const [gone, setGone] = useState("");
  const found = useEntries(ctx, query);
  useEffect(() => {
    if (chosen) setGone("");
  }, [chosen, query.q, query.plugin]);
  return html`
    <${Figures} ctx=${ctx} every=${every} />
    <section class="section" aria-labelledby="cache-keys">
      <div class="section-head"><h2 id="cache-keys">${t("cache.keys")}</h2></div>
      <${Search} query=${query} go=${go} plugins=${useNames(ctx)} again=${found.again} />
      <p class="monitor-said muted" role="status" data-cache-said>${gone || said(found)}</p>
      <div class=${`browse${chosen ? " browse-open" : ""}`}>
        <${List} found=${found} query=${query} chosen=${chosen} />
        ${chosen && html`<${Entry} key=${chosen} ctx=${ctx} query=${query} may=${may} close=${() => go({ key: "", hex: "" })}
          deleted=${(key) => { setGone(t("cache.deleted", { key })); go({ key: "", hex: "" }); found.again(); }} />`}
      </div>
    </section>`;
}

function said(found) {
  if (found.error && found.entries.length > 0) return found.error.message;
  if (found.busy) return t("cache.looking", { n: count(found.entries.length, lang.value) });
  return t(found.next ? "cache.found_more" : "cache.found", { n: count(found.entries.length, lang.value) });
}

/** Names of plugins that serve, to choose whose keys are shown. */
function useNames(ctx) {
  const plugins = useResource((signal) => ctx.api.get("/admin/v1/plugins", null, signal), [], { keep: "cache plugins" });
  return (plugins.data?.plugins ?? plugins.data ?? []).map((p) => p.name).sort();
}

function Figures({ ctx, every }) {
  const language = lang.value;
  const look = useResource((signal) => ctx.api.get("/admin/v1/cache", null, signal), [], { stream: ctx.stream, every, keep: "cache figures" });
  const c = look.data;
  const rate = useRates(look);
  if (!c) return look.error ? html`<${Failure} error=${look.error} retry=${look.reload} />` : html`<dl class="figures" aria-busy="true"></dl>`;
  const r = c.redis;
  const share = c.hits + c.misses > 0 ? c.hits / (c.hits + c.misses) : null;
  const used = r ? r.used_bytes : c.bytes;
  const most = r ? r.max_bytes : c.max_bytes;
  const figures = [
    ["driver", r ? `Redis ${r.version}` : c.driver, c.away ? t("cache.away") : r ? t("cache.clients", { n: count(r.clients, language) }) : t("cache.own"), c.away],
    ["entries", count(r ? r.keys : c.entries, language), t(r ? "cache.entries_db" : "cache.entries_note")],
    ["memory", bytes(used, language), most > 0 ? t("cache.of", { n: bytes(most, language), share: percent(used / most, language) }) : t("cache.no_bound")],
    ["hits", percent(share, language), t("cache.hits_note", { hits: count(c.hits, language), misses: count(c.misses, language) })],
    ["rate", rate ? t("cache.per_second", { n: count(rate.hits + rate.misses, language) }) : "–", rate && rate.hits + rate.misses > 0 ? t("cache.rate_note", { share: percent(rate.hits / (rate.hits + rate.misses), language) }) : t("cache.rate_none")],
    ["evicted", count(r ? r.evicted : c.evicted, language), r ? r.policy : t("cache.evicted_note"), (r ? r.evicted : c.evicted) > 0 && most > 0 && used / most > 0.95],
  ];
  return html`<dl class="figures jobs-figures" data-cache-figures=${c.driver}>${figures.map(([name, text, note, bad]) => html`
    <div key=${name} class=${`figure figure-cache-${name}`}><dt>${t(`cache.figure.${name}`)}</dt><dd class=${bad ? "bad-text" : ""}>${text}</dd><small>${note}</small></div>`)}</dl>`;
}

/** Looks a second since the last answer, by what came. */
function useRates({ data, at }) {
  const look = useRef({ last: null, rate: null });
  if (data && look.current.last?.at !== at) {
    const now = { at, values: { hits: data.hits, misses: data.misses } };
    const rate = shares(look.current.last, now);
    look.current = { last: now, rate: rate.hits === null || rate.misses === null ? null : rate };
  }
  return look.current.rate;
}

function Search({ query, go, plugins, again }) {
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
    go({ q: settled.trim(), key: "", hex: "" });
  }, [settled]);
  const names = query.plugin && !plugins.includes(query.plugin) ? [query.plugin, ...plugins] : plugins;
  return html`
    <div class="monitor-search">
      <select class="field" value=${query.plugin} aria-label=${t("cache.plugin")} onChange=${(e) => go({ plugin: e.target.value, key: "", hex: "" })} data-cache-plugin>
        <option value="">${t("cache.every_plugin")}</option>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>
      <input class="field" type="search" value=${typed} placeholder=${t(query.plugin ? "cache.search_plugin" : "cache.search")} aria-label=${t("cache.search")} title=${t("cache.search_help")}
        onInput=${(e) => setTyped(e.target.value)} autocomplete="off" spellcheck="false" data-cache-search />
      <button class="button" onClick=${again} data-cache-again>${t("cache.again")}</button>
    </div>`;
}

const NOTHING = { entries: [], next: null, busy: true, error: null };

/** What was found so far. Pages come until some are full, for an empty one says nothing of the next. */
function useEntries(ctx, query) {
  const [state, setState] = useState(NOTHING);
  const [turn, setTurn] = useState(0);
  const run = useRef(null);
  const walk = async (from, kept) => {
    run.current?.abort();
    const { signal } = run.current = new AbortController();
    let entries = kept;
    let after = from;
    setState((s) => ({ ...s, entries, busy: true, error: null }));
    try {
      for (let i = 0; i < STEPS; i++) {
        const page = await ctx.api.get("/admin/v1/cache/entries", { match: query.q, plugin: query.plugin, limit: PAGE, after }, signal);
        if (signal.aborted) return;
        entries = join(entries, page.entries);
        after = page.next;
        setState({ entries, next: after, busy: Boolean(after), error: null });
        if (!after || entries.length >= kept.length + PAGE) break;
      }
      setState({ entries, next: after, busy: false, error: null });
    } catch (error) {
      if (!signal.aborted) setState({ entries, next: null, busy: false, error });
    }
  };
  useEffect(() => {
    walk(null, []);
    return () => run.current?.abort();
  }, [query.q, query.plugin, turn]);
  return { ...state, more: () => walk(state.next, state.entries), again: () => setTurn((n) => n + 1) };
}

const idOf = (entry) => entry.key_hex ?? entry.key;

/** Redis may name a key twice. */
function join(kept, more) {
  const all = new Map([...kept, ...more].map((entry) => [idOf(entry), entry]));
  return [...all.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

function List({ found, query, chosen }) {
  const language = lang.value;
  if (found.error && found.entries.length === 0) return html`<${Failure} error=${found.error} retry=${found.again} />`;
  if (!found.busy && found.entries.length === 0) {
    return html`<${Note} title=${t(query.q || query.plugin ? "cache.no_match" : "cache.none")}><p class="muted">${t("cache.search_help")}</p></${Note}>`;
  }
  return html`
    <div class="browse-list" aria-busy=${found.busy} data-cache-list>
      <table class="data data-cache">
        <thead><tr><th scope="col">${t("cache.key")}</th><th scope="col" class="c-type">${t("cache.type")}</th><th scope="col" class="c-number">${t("cache.ttl")}</th><th scope="col" class="c-number">${t("cache.size")}</th></tr></thead>
        <tbody>${found.entries.map((e) => html`
          <tr key=${idOf(e)} class=${chosen === idOf(e) ? "row-chosen" : ""} data-cache-key=${e.key}>
            <td class="c-plugin"><a class="browse-key mono" href=${href(PATH, { q: query.q, plugin: query.plugin, key: e.key_hex ? "" : e.key, hex: e.key_hex })} aria-current=${chosen === idOf(e) ? "true" : null}><span class="muted">${e.plugin}:</span>${e.key.slice(e.plugin.length + 1)}</a></td>
            <td class="c-type" data-label=${t("cache.type")}><${Pill} kind=${KINDS[e.type]}>${t(`cache.type.${e.type}`)}</${Pill}></td>
            <td class="c-number" data-label=${t("cache.ttl")}>${e.ttl_ms === null ? html`<span class="muted" title=${t("cache.for_ever")}>∞</span>` : duration(e.ttl_ms / 1000, language)}</td>
            <td class="c-number" data-label=${t("cache.size")} title=${e.memory_bytes === null ? null : t("cache.with_overhead", { n: bytes(e.memory_bytes, language) })}>${bytes(e.bytes, language)}</td>
          </tr>`)}</tbody>
      </table>
      ${found.next && !found.busy && html`<p class="more"><button class="button" onClick=${found.more} data-cache-more>${t("cache.more")}</button></p>`}
    </div>`;
}

function Entry({ ctx, query, may, close, deleted }) {
  const language = lang.value;
  const name = query.hex ? { hex: query.hex } : { key: query.key };
  const one = useResource((signal) => ctx.api.get("/admin/v1/cache/entry", name, signal), [query.key, query.hex]);
  const [asked, setAsked] = useState(false);
  const [problem, setProblem] = useState("");
  const remove = async () => {
    try {
      await ctx.api.request("/admin/v1/cache/entry", { method: "DELETE", query: name });
      deleted(query.key || query.hex);
    } catch (error) {
      setProblem(error.message);
      setAsked(false);
    }
  };
  const e = one.data;
  return html`
    <aside class="browse-one" aria-label=${t("cache.entry")} data-cache-entry=${query.key || query.hex}>
      <header class="browse-head"><h3 class="mono">${e ? e.key : query.key || query.hex}</h3>
        <button class="icon-button" aria-label=${t("cache.close")} title=${t("cache.close")} onClick=${close} data-cache-close>✕</button></header>
      ${one.error?.status === 404 ? html`<${Note} title=${t("cache.gone")} />` : one.error && html`<${Failure} error=${one.error} retry=${one.reload} />`}
      ${e && !one.error && html`
        <dl class="pairs">
          <div><dt>${t("cache.plugin")}</dt><dd>${e.plugin}</dd></div>
          <div><dt>${t("cache.type")}</dt><dd>${t(`cache.type.${e.type}`)}</dd></div>
          <div><dt>${t("cache.ttl")}</dt><dd><${Left} ms=${e.ttl_ms} at=${one.at} /></dd></div>
          <div><dt>${t("cache.size")}</dt><dd>${bytes(e.bytes, language)} ${e.memory_bytes !== null && html`<span class="muted">${t("cache.with_overhead", { n: bytes(e.memory_bytes, language) })}</span>`}</dd></div>
          ${e.key_hex && html`<div><dt>${t("cache.key_hex")}</dt><dd class="mono">${e.key_hex}</dd></div>`}
        </dl>
        ${e.hidden ? html`<p class="browse-hidden" data-cache-hidden>${t("cache.hidden")}</p>` : html`<${Value} encoding=${e.encoding} text=${e.value} cut=${e.cut} size=${e.bytes} />`}
        <p class="browse-act"><button class="button button-small" onClick=${one.reload}>${t("cache.again")}</button>
          ${may && (asked ? html`<span class="browse-sure" role="alertdialog" aria-label=${t("cache.sure")}>${t("cache.sure")} <button class="button button-small button-danger" onClick=${remove} data-cache-sure>${t("cache.delete")}</button> <button class="button button-small" onClick=${() => setAsked(false)}>${t("cache.keep")}</button></span>`
    : html`<button class="button button-small button-danger" onClick=${() => setAsked(true)} data-cache-delete>${t("cache.delete")}</button>`)}
          ${problem && html`<span class="bad-text" role="status">${problem}</span>`}</p>
        ${!e.hidden && html`<p class="muted browse-note">${t("cache.audited")}</p>`}`}
    </aside>`;
}

/** The time that is left, going on. */
function Left({ ms, at }) {
  const now = useNow();
  if (ms === null) return t("cache.for_ever");
  const left = (ms - (now - at)) / 1000;
  return left > 0 ? duration(left, lang.value) : t("cache.over");
}
