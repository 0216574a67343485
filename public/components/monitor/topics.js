/** The event stream: topics, how many events come, and who has heard how far. */
import { html, useRef, useState } from "../../lib/html.js";
import { useResource } from "../../lib/hooks.js";
import { bytes, compact, count, decimal } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { shares } from "../../lib/rates.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Num, Pill } from "../bits.js";

const EVERY = 4000; /* in Kafka every broker is asked */

export const topicHref = (topic) => `#/operations/stream/${encodeURIComponent(topic)}`;
export const isDead = (topic) => topic.endsWith(".dead");

/** Topics and groups, with `rates`: events a second of each topic since the look before, null at first. */
export function useStream(ctx) {
  const look = useResource((signal) => ctx.api.get("/admin/v1/events", null, signal), [], { stream: ctx.stream, every: EVERY, keep: "events" });
  const kept = useRef({ last: null, rates: {} });
  if (look.data && kept.current.last?.at !== look.at) {
    const values = Object.fromEntries(look.data.topics.map((topic) => [topic.topic, emitted(topic)]));
    const now = { at: look.at, values };
    kept.current = { last: now, rates: shares(kept.current.last, now) };
  }
  return { ...look, rates: kept.current.rates };
}

const emitted = (topic) => topic.partitions.reduce((n, p) => n + Math.max(0, p.next), 0);

/** @param {{ctx: import("../../app.js").PageContext}} props */
export function Topics({ ctx }) {
  const language = lang.value;
  const look = useStream(ctx);
  const [typed, setTyped] = useState("");
  if (!look.data) return look.error ? html`<${Failure} error=${look.error} retry=${look.reload} />` : html`<p class="muted" aria-busy="true">…</p>`;
  const { driver, topics, groups } = look.data;
  const shown = topics.filter((topic) => topic.topic.toLowerCase().includes(typed.trim().toLowerCase()));
  const rate = Object.values(look.rates).reduce((n, r) => (r === null ? n : (n ?? 0) + r), null);
  const lag = groups.reduce((n, g) => n + g.lag, 0);
  const dead = topics.filter((topic) => isDead(topic.topic)).reduce((n, topic) => n + topic.events, 0);
  const figures = [["driver", driver, t(`stream.driver.${driver}`)], ["topics", count(topics.length, language), t("stream.partitions_n", { n: count(topics.reduce((n, topic) => n + topic.partitions.length, 0), language) })],
    ["events", compact(topics.reduce((n, topic) => n + topic.events, 0), language), t("stream.kept")], ["rate", perSecond(rate, language), t("stream.rate_note")],
    ["lag", count(lag, language), t("stream.lag_note")], ["dead", count(dead, language), t("stream.dead_note"), dead > 0]];
  return html`
    <dl class="figures jobs-figures" data-stream-figures>${figures.map(([name, text, note, bad]) => html`
      <div key=${name} class="figure"><dt>${t(`stream.figure.${name}`)}</dt><dd class=${bad ? "bad-text" : ""}>${text}</dd><small>${note}</small></div>`)}</dl>
    <section class="section" aria-labelledby="stream-topics">
      <div class="section-head"><h2 id="stream-topics">${t("stream.topics")}</h2>
        <input class="field" type="search" value=${typed} placeholder=${t("stream.search_topic")} aria-label=${t("stream.search_topic")} onInput=${(e) => setTyped(e.target.value)} autocomplete="off" spellcheck="false" data-topic-search /></div>
      ${topics.length === 0 ? html`<${Note} title=${t("stream.none")}><p class="muted">${t("stream.none_text")}</p></${Note}>` : html`
      <table class="data data-topics">
        <thead><tr><th scope="col">${t("stream.topic")}</th><th scope="col" class="c-number">${t("stream.partitions")}</th><th scope="col" class="c-number">${t("stream.events")}</th>
          <th scope="col" class="c-number">${t("stream.rate")}</th><th scope="col">${t("stream.heard_by")}</th></tr></thead>
        <tbody>${shown.map((topic) => html`<${Row} key=${topic.topic} topic=${topic} rate=${look.rates[topic.topic]} groups=${groups.filter((g) => g.topic === topic.topic)} />`)}</tbody>
      </table>`}
    </section>`;
}

export const perSecond = (rate, language) => (rate === null || rate === undefined ? "–" : t("cache.per_second", { n: rate < 10 && rate > 0 ? decimal(rate, language) : count(rate, language) }));

function Row({ topic, rate, groups }) {
  const language = lang.value;
  const dead = isDead(topic.topic) && topic.events > 0;
  return html`
    <tr data-topic=${topic.topic}>
      <td class="c-plugin"><a class="row-name" href=${topicHref(topic.topic)}>${topic.topic}</a>${dead && html` <${Pill} kind="bad">${t("stream.dead")}</${Pill}>`}</td>
      <td class="c-number" data-label=${t("stream.partitions")}>${topic.partitions.length}</td>
      <td class="c-number" data-label=${t("stream.events")}><${Num} value=${topic.events} text=${count(topic.events, language)} />${topic.bytes > 0 && html` <span class="muted">${bytes(topic.bytes, language)}</span>`}</td>
      <td class="c-number" data-label=${t("stream.rate")}>${perSecond(rate, language)}</td>
      <td class="c-heard" data-label=${t("stream.heard_by")}>${groups.length === 0 ? html`<span class="muted">${t("stream.nobody")}</span>` : groups.map((g) => html`<${Group} key=${g.group} group=${g} />`)}</td>
    </tr>`;
}

/** A plugin that hears, and what was not handed to it yet. */
export function Group({ group: g }) {
  const lag = count(g.lag, lang.value);
  return html`<span class="heard" data-group=${g.group}><${Pill} kind=${!g.serving ? "warn" : g.lag > 0 ? "idle" : "ok"} title=${t(g.serving ? "stream.lag_text" : "stream.not_serving", { n: lag })}>${g.group}${g.lag > 0 ? ` −${lag}` : ""}</${Pill}></span>`;
}
