/** One topic: its partitions and who hears it, its events from either end, by key, time and words, and those that come. */
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { useSettled } from "../../lib/hooks.js";
import { bytes, clock, count, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";
import { Choice, Failure, Note, Pill } from "../bits.js";
import { Group, perSecond, useStream } from "./topics.js";
import { Value } from "./value.js";

const PAGE = 100;
const MOST = 600; /* rows that are kept while events come */
const TAIL_EVERY = 1500;
const STEPS = 20; /* pages asked for in a row, when what is looked for is rare */
const RANGES = ["", "5m", "1h", "1d"];

/** @param {{ctx: import("../../app.js").PageContext, id: string}} props   id: the topic */
export function Topic({ ctx, id }) {
  const language = lang.value;
  const look = useStream(ctx);
  const topic = look.data?.topics.find((one) => one.topic === id);
  const groups = (look.data?.groups ?? []).filter((g) => g.topic === id);
  return html`
    <a class="job-back" href="#/operations/stream" data-back>← ${t("stream.topics")}</a>
    <header class="job-head"><h2>${id}</h2>
      ${topic && html`<span class="muted">${t("stream.summary", { events: count(topic.events, language), rate: perSecond(look.rates[id], language) })}${topic.bytes > 0 ? ` · ${bytes(topic.bytes, language)}` : ""}</span>`}
      ${groups.map((g) => html`<${Group} key=${g.group} group=${g} />`)}</header>
    ${topic && html`<${Partitions} topic=${topic} groups=${groups} />`}
    <${Events} ctx=${ctx} id=${id} partitions=${topic?.partitions.length ?? 1} />`;
}

function Partitions({ topic, groups }) {
  const language = lang.value;
  const place = (group, partition) => group.partitions.find((p) => p.partition === partition);
  const known = (n) => (n < 0 ? "?" : count(n, language));
  return html`
    <details class="stream-parts" open=${topic.partitions.length > 1 && topic.partitions.length <= 6}><summary>${t("stream.partitions_n", { n: topic.partitions.length })}</summary>
      <table class="data data-parts">
        <thead><tr><th scope="col" class="c-number">${t("stream.partition")}</th><th scope="col" class="c-number">${t("stream.first")}</th><th scope="col" class="c-number">${t("stream.next")}</th>
          <th scope="col" class="c-number">${t("stream.events")}</th>${groups.map((g) => html`<th key=${g.group} scope="col" class="c-number">${g.group}</th>`)}</tr></thead>
        <tbody>${topic.partitions.map((p) => html`
          <tr key=${p.partition} data-partition=${p.partition}>
            <td class="c-number" data-label=${t("stream.partition")}>${p.partition}</td><td class="c-number" data-label=${t("stream.first")}>${known(p.first)}</td><td class="c-number" data-label=${t("stream.next")}>${known(p.next)}</td>
            <td class="c-number" data-label=${t("stream.events")}>${p.first < 0 || p.next < 0 ? "?" : count(p.next - p.first, language)}</td>
            ${groups.map((g) => html`<td key=${g.group} class="c-number" data-label=${g.group}>${place(g, p.partition) ? t("stream.at", { offset: known(place(g, p.partition).offset), lag: known(place(g, p.partition).lag) }) : "–"}</td>`)}
          </tr>`)}</tbody>
      </table></details>`;
}

function Events({ ctx, id, partitions }) {
  const [filter, setFilter] = useState({ order: "newest", q: "", key: "", partition: "", offset: "", since: "" });
  const [live, setLive] = useState(true);
  const change = (more) => setFilter((f) => ({ ...f, ...more }));
  const settled = useSettled(filter, 250);
  const newest = settled.order === "newest";
  const found = useFound(ctx, id, settled, live && newest && !settled.offset);
  return html`
    <section class="section" aria-labelledby="stream-events">
      <div class="section-head"><h2 id="stream-events">${t("stream.events")}</h2>
        ${newest && html`<label class="check"><input type="checkbox" checked=${live && !settled.offset} disabled=${Boolean(settled.offset)} onChange=${(e) => setLive(e.target.checked)} data-tail /> ${t("stream.tail")}</label>`}
        <${Choice} name="stream-order" label=${t("stream.order")} value=${filter.order} onChange=${(order) => change({ order })} options=${["newest", "oldest"].map((o) => [o, t(`stream.order.${o}`)])} />
        <${Choice} name="stream-since" label=${t("stream.since")} value=${filter.since} onChange=${(since) => change({ since })} options=${RANGES.map((r) => [r, t(`stream.since.${r || "all"}`)])} /></div>
      <div class="monitor-search">
        <input class="field" type="search" value=${filter.q} placeholder=${t("stream.search")} aria-label=${t("stream.search")} onInput=${(e) => change({ q: e.target.value })} autocomplete="off" spellcheck="false" data-event-search />
        <input class="field field-key" value=${filter.key} placeholder=${t("stream.key")} aria-label=${t("stream.key")} onInput=${(e) => change({ key: e.target.value })} autocomplete="off" spellcheck="false" data-event-key />
        ${partitions > 1 && html`<select class="field" value=${filter.partition} aria-label=${t("stream.partition")} onChange=${(e) => change({ partition: e.target.value })} data-event-partition>
          <option value="">${t("stream.every_partition")}</option>${Array.from({ length: partitions }, (_, p) => html`<option key=${p} value=${p}>${p}</option>`)}</select>`}
        <input class="field field-offset" inputmode="numeric" value=${filter.offset} placeholder=${t("stream.offset")} aria-label=${t("stream.offset")} title=${t("stream.offset_help")} onInput=${(e) => change({ offset: e.target.value.replace(/\D/g, "") })} autocomplete="off" data-event-offset />
      </div>
      <p class="monitor-said muted" role="status" data-stream-said>${said(found)}</p>
      ${found.error && found.events.length === 0 ? html`<${Failure} error=${found.error} retry=${found.again} />`
        : !found.busy && found.events.length === 0 ? html`<${Note} title=${t("stream.no_event")} />` : html`
      <ul class="messages" data-messages>${found.events.map((e) => html`<${Message} key=${nameOf(e)} event=${e} fresh=${e.fresh} />`)}</ul>`}
      ${!found.end && !found.busy && html`<p class="more"><button class="button" onClick=${found.more} data-stream-more>${t("cache.more")}</button></p>`}
    </section>`;
}

function said(found) {
  const language = lang.value;
  if (found.error && found.events.length > 0) return found.error.message;
  const n = count(found.events.length, language);
  if (found.busy) return t("stream.looking", { n, looked: count(found.looked, language) });
  return t(found.end ? "stream.found" : "stream.found_more", { n, looked: count(found.looked, language) });
}

const nameOf = (event) => `${event.partition}:${event.offset}`;
const NOTHING = { events: [], next: "", end: true, busy: true, error: null, looked: 0 };

function queryOf(filter) {
  const { order, q, key, partition, offset, since } = filter;
  return { order, q: q.trim(), key: key.trim(), partition, offset, since };
}

/** Pages in one direction, and in front of the newest those that come. */
function useFound(ctx, id, filter, follow) {
  const [state, setState] = useState(NOTHING);
  const run = useRef(null);
  const tail = useRef("");
  const path = `/admin/v1/events/${encodeURIComponent(id)}/browse`;
  const query = queryOf(filter);
  const name = JSON.stringify([id, query]);
  const walk = async (from, kept, looked) => {
    run.current?.abort();
    const { signal } = run.current = new AbortController();
    let events = kept;
    let after = from;
    try {
      setState((s) => ({ ...s, events: from ? s.events : [], busy: true, error: null }));
      for (let i = 0, end = false; i < STEPS && !end; i++) {
        const page = await ctx.api.get(path, { ...query, limit: PAGE, after }, signal);
        if (signal.aborted) return;
        if (!after) tail.current = page.tail;
        after = page.next;
        looked += page.looked;
        events = [...events, ...page.events];
        end = page.end || events.length >= kept.length + PAGE;
        setState((s) => ({ events: joined(s.events, events), next: after, end: page.end, busy: !end, error: null, looked }));
      }
      setState((s) => ({ ...s, busy: false }));
    } catch (error) {
      if (!signal.aborted) setState((s) => ({ ...s, busy: false, end: true, error }));
    }
  };
  useEffect(() => {
    tail.current = "";
    walk("", [], 0);
    return () => run.current?.abort();
  }, [name]);
  useEffect(() => {
    if (!follow) return undefined;
    const controller = new AbortController();
    let timer = 0;
    const look = async () => {
      try {
        if (tail.current && !document.hidden) {
          const page = await ctx.api.get(path, { ...query, since: "", order: "oldest", limit: PAGE, after: tail.current }, controller.signal);
          if (controller.signal.aborted) return;
          tail.current = page.next;
          const fresh = page.events.map((event) => ({ ...event, fresh: true })).reverse();
          if (page.looked > 0) setState((s) => ({ ...s, looked: s.looked + page.looked, events: joined(fresh, s.events).slice(0, Math.max(MOST, s.events.length)) }));
        }
      } catch {
        /* the next look asks again from the same place */
      }
      if (!controller.signal.aborted) timer = setTimeout(look, TAIL_EVERY);
    };
    timer = setTimeout(look, TAIL_EVERY);
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [name, follow]);
  return { ...state, more: () => walk(state.next, state.events, state.looked), again: () => walk("", [], 0) };
}

/** What is in both stands once, where it stood first. */
function joined(first, then) {
  const seen = new Set();
  return [...first, ...then].filter((event) => !seen.has(nameOf(event)) && seen.add(nameOf(event)));
}

function Message({ event: e, fresh }) {
  const language = lang.value;
  const [open, setOpen] = useState(false);
  const text = JSON.stringify(e.data);
  const headers = Object.entries(e.headers ?? {});
  return html`
    <li class=${`message${fresh ? " message-fresh" : ""}`} data-event=${nameOf(e)}>
      <button class="message-line" aria-expanded=${open} onClick=${() => setOpen(!open)}>
        <time title=${moment(e.at, language)}>${Date.now() / 1000 - e.at < 43200 ? clock(e.at, language) : moment(e.at, language)}</time>
        <span class="message-place muted">${e.partition}:${e.offset}</span>
        <span class="message-key">${e.key ?? html`<span class="muted">–</span>`}</span>
        <span class="message-data">${headers.some(([k]) => k === "error") && html`<${Pill} kind="bad">${e.headers.group ?? ""}</${Pill}> `}${text.length > 300 ? `${text.slice(0, 300)}…` : text}</span>
      </button>
      ${open && html`<div class="message-open">
        <dl class="pairs"><div><dt>${t("stream.time")}</dt><dd>${new Date(e.at * 1000).toISOString()}</dd></div>
          <div><dt>${t("stream.sender")}</dt><dd>${e.from ?? "–"}</dd></div>
          ${e.key && html`<div><dt>${t("stream.key")}</dt><dd class="mono">${e.key}</dd></div>`}
          ${headers.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="mono">${String(value)}</dd></div>`)}</dl>
        <${Value} encoding="json" text=${text} size=${text.length} />
      </div>`}
    </li>`;
}
