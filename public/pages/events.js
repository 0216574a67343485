/** Surges: the list, and beside it the one that was chosen with its analysis. */
import { html, render, useEffect, useRef, useState } from "../lib/html.js";
import { useResource, useSignal } from "../lib/hooks.js";
import { count, decimal, millis, moment, money, percent } from "../lib/format.js";
import { pick, platformName, t } from "../lib/i18n.js";
import { channelHref, href } from "../lib/route.js";
import { fitSpan } from "../lib/series.js";
import { lang } from "../lib/settings.js";
import { Choice, Failure, Note, Platform } from "../components/bits.js";
import { Chart } from "../components/chart.js";
import { EventList, EventStatus } from "../components/events.js";

const PAGE = 50;
const STATES = ["", "PENDING", "ANALYZED", "FAILED"];
const BEFORE = 3 * 3600;
const AFTER = 3600;

/** @param {HTMLElement} root @param {import("../app.js").PageContext} ctx */
export function mount(root, ctx) {
  render(html`<${EventsPage} ctx=${ctx} />`, root);
  return () => render(null, root);
}

function EventsPage({ ctx }) {
  const language = useSignal(lang);
  const route = useSignal(ctx.route);
  const status = STATES.includes(route.query.get("status")) ? route.query.get("status") : "";
  const platform = route.query.get("platform") ?? "";
  const id = route.page === "events" && route.params.id ? Number(route.params.id) : null;
  const [wanted, setWanted] = useState(PAGE);
  const keep = `events ${status} ${platform}`;
  const list = useResource((signal) => fetchEvents(ctx.api.get, { status, platform }, wanted, signal), [keep, wanted],
    { stream: ctx.stream, on: ["event"], keep });
  useEffect(() => {
    ctx.title.value = id ? `${t("nav.events")} ${id}` : t("nav.events");
  }, [id, language]);

  const address = (event) => href(event ? `/events/${event}` : "/events", { status, platform });
  const go = (part) => {
    setWanted(PAGE);
    location.hash = href(id ? `/events/${id}` : "/events", { status, platform, ...part });
  };
  return html`
    <div class=${`events-page${id ? " events-open" : ""}`}>
      <section class="events-side" aria-label=${t("nav.events")}>
        <h1>${t("nav.events")}</h1>
        <div class="events-filter">
          <${Choice} name="status" label=${t("event.status")} value=${status} onChange=${(key) => go({ status: key })}
            options=${STATES.map((key) => [key, key ? t(`event.${key}`) : t("all")])} />
          <select class="field" aria-label=${t("board.platform")} value=${platform} onChange=${(e) => go({ platform: e.target.value })}>
            <option value="">${t("board.platform")}: ${t("all")}</option>
            ${["chzzk", "soop"].map((p) => html`<option key=${p} value=${p}>${platformName(p)}</option>`)}
          </select>
        </div>
        <${Listing} list=${list} current=${id} address=${address} filtered=${Boolean(status || platform)} more=${() => setWanted((n) => n + PAGE)} />
      </section>
      <section class="events-detail" aria-label=${t("event.analysis")}>
        ${id ? html`<${Detail} key=${id} ctx=${ctx} id=${id} back=${address(null)} />` : html`<div class="events-none"><${Note} title=${t("event.choose")} /></div>`}
      </section>
    </div>`;
}

async function fetchEvents(get, filter, wanted, signal) {
  const events = [];
  let cursor = null;
  do {
    const answer = await get("/api/events", { ...filter, limit: Math.min(200, wanted - events.length), cursor }, signal);
    events.push(...answer.events);
    cursor = answer.events.length > 0 ? answer.next : null;
  } while (cursor && events.length < wanted);
  return { events, next: cursor };
}

function Listing({ list, current, address, filtered, more }) {
  if (!list.data && list.error) return html`<${Failure} error=${list.error} retry=${list.reload} />`;
  if (!list.data) return html`<ul class="events" aria-busy="true">${[1, 2, 3, 4, 5, 6].map((i) => html`<li key=${i} class="event skeleton"><i></i></li>`)}</ul>`;
  if (list.data.events.length === 0) {
    return filtered ? html`<${Note} title=${t("event.no_match")} />`
      : html`<${Note} title=${t("event.none")}><p class="muted">${t("event.none_text")}</p></${Note}>`;
  }
  return html`<${EventList} events=${list.data.events} current=${current} address=${address} />
    ${list.data.next && html`<div class="more"><button class="button" onClick=${more}>${t("board.more")}</button></div>`}`;
}

function Detail({ ctx, id, back }) {
  const language = lang.value;
  const path = `/api/events/${id}`;
  const found = useResource((signal) => ctx.api.get(path, null, signal), [],
    { stream: ctx.stream, on: ["event"], keep: path, when: (data) => data.id === id });
  const event = found.data;
  const top = html`<a class="back" href=${back} data-back>← ${t("nav.events")}</a>`;
  if (!event && found.error?.status === 404) return html`${top}<${Note} title=${t("event.missing")} />`;
  if (!event && found.error) return html`${top}<${Failure} error=${found.error} retry=${found.reload} />`;
  if (!event) return top;
  return html`
    ${top}
    <header class="channel-head">
      <div class="channel-title"><h2 class="event-title">${event.channel_name}</h2><${Platform} name=${event.platform} /><${EventStatus} status=${event.status} /></div>
      <p class="channel-sub"><span class="clip">${event.title}</span><span class="muted">${event.category ?? ""}</span></p>
      <a class="button channel-out" href=${channelHref(event.platform, event.channel_id)}>${t("event.channel")}</a>
    </header>
    <dl class="figures figures-small">
      ${[["viewers", count(event.viewers, language)], ["baseline", count(event.baseline, language)],
        ["ratio", t("event.times", { ratio: decimal(event.ratio, language) })], ["zscore", decimal(event.zscore, language)],
        ["detected", moment(event.detected_at, language)]].map(([key, text]) => html`
        <div class="figure" key=${key}><dt>${t(`event.${key}`)}</dt><dd>${text}</dd></div>`)}
    </dl>
    <${Around} ctx=${ctx} event=${event} />
    <${Analysis} ctx=${ctx} event=${event} />`;
}

/** What is being written about an event now: { ko, en, tool }, or null. It stays until what was stored is here. */
function useWriting(stream, event) {
  const [writing, setWriting] = useState(null);
  const stored = useRef(false);
  const { id } = event;
  useEffect(() => {
    const offs = [
      stream.on("analysis", (data) => data.id === id && setWriting(data)),
      stream.on("event", (data) => {
        if (data.id === id) stored.current = true;
      }),
      stream.on("sync", () => setWriting(null)),
    ];
    return () => offs.forEach((off) => off());
  }, [stream, id]);
  useEffect(() => {
    if (stored.current) setWriting(null);
    stored.current = false;
  }, [event]);
  return writing;
}

/** The hours around the surge. */
function Around({ ctx, event }) {
  const at = Math.floor(millis(event.detected_at) / 1000);
  const whole = { from: at - BEFORE, to: at + AFTER };
  const [zoom, setZoom] = useState(null);
  const path = `/api/channels/${encodeURIComponent(event.platform)}/${encodeURIComponent(event.channel_id)}/series`;
  const series = useResource((signal) => ctx.api.get(path, whole, signal), [], { keep: `${path} ${at}`, stream: ctx.stream, on: ["live"], when: (data) => data.platform === event.platform });
  const seen = fitSpan(whole, at, series.data?.at);
  return html`<${Chart} data=${series.data} span=${zoom ?? seen} bounds=${seen} zoom=${setZoom} loading=${series.loading} />`;
}

function Analysis({ ctx, event }) {
  const language = lang.value;
  const writing = useWriting(ctx.stream, event);
  const a = writing ? null : event.analysis;
  return html`
    <section class="analysis" aria-labelledby="analysis-title" aria-live="polite" aria-busy=${Boolean(writing)} data-analysis>
      <header><h2 id="analysis-title">${t("event.analysis")}</h2>
        ${a && html`<span class=${a.rule_based ? "engine engine-rules" : "engine"} data-engine>${t("event.engine", { engine: engineName(a.engine) })}</span>`}
        ${writing && html`<span class="engine" data-writing>${t(writing.tool ? "event.looking" : "event.writing")}</span>`}
        <${Again} ctx=${ctx} event=${event} busy=${Boolean(writing)} /></header>
      ${writing ? html`<p class="analysis-text analysis-live" data-live>${pick(writing)}</p>` : a ? html`
        <p class="analysis-text">${pick(a.summary)}</p>
        <h3>${t("event.causes")}</h3>
        <ol class="causes">${a.causes.map((cause) => html`
          <li key=${cause.code}><span>${pick(cause)}</span><span class="weight" aria-hidden="true"><i style=${{ width: `${Math.round(cause.weight * 100)}%` }}></i></span><span class="num">${percent(cause.weight, language)}</span></li>`)}</ol>
        <p class="muted">${t("event.confidence", { percent: percent(a.confidence, language) })} · ${t("event.analyzed_at", { at: moment(a.analyzed_at, language) })}${costOf(a, language)}</p>
        ${a.rule_based && html`<p class="muted" data-why>${t(WHY.has(a.reason) ? `event.rules.${a.reason}` : "event.rules.other")}</p>`}`
        : html`<p class="muted">${t(event.status === "FAILED" ? "event.failed_text" : "event.pending_text")}</p>`}
    </section>`;
}

/** Reasons why the rules had to, that have words of their own. */
const WHY = new Set(["not_configured", "budget", "claims"]);

function costOf(a, language) {
  if (!a.tokens) return "";
  return ` · ${t("event.cost", { cost: money(a.cost, a.currency || "USD", language), tokens: count(a.tokens, language) })}`;
}

/** Asks for another analysis: an operator's, so on the admin listener only. */
function Again({ ctx, event, busy }) {
  const [said, setSaid] = useState(null);
  const [asking, setAsking] = useState(false);
  const ask = async () => {
    setAsking(true);
    try {
      await ctx.api.post(`/api/events/${event.id}/analyse`);
      setSaid(null);
    } catch (error) {
      setSaid(error.status === 401 ? t("event.again_closed") : error.message);
    }
    setAsking(false);
  };
  return html`<span class="again">${said && html`<span class="muted" role="status">${said}</span>`}
    <button class="button button-small" onClick=${ask} disabled=${asking || busy || event.status === "PENDING"} data-again>${t("event.again")}</button></span>`;
}

function engineName(engine) {
  const key = `engine.${engine}`;
  const name = t(key);
  return name === key ? engine : name;
}
