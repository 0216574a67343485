/** One channel: how it stands now, its viewers over time with the surges marked, its events. */
import { html, render, useEffect, useState } from "../lib/html.js";
import { useNow, useResource, useSignal } from "../lib/hooks.js";
import { count, millis, moment, signed, since } from "../lib/format.js";
import { platformName, t } from "../lib/i18n.js";
import { cameFromInside } from "../lib/scroll.js";
import { spanFor, RANGES, stats, stepFor } from "../lib/series.js";
import { lang } from "../lib/settings.js";
import { Choice, Delta, Failure, Note, Num, Pill, Platform, Surge } from "../components/bits.js";
import { Chart } from "../components/chart.js";
import { EventList } from "../components/events.js";

/** @param {HTMLElement} root @param {import("../app.js").PageContext} ctx */
export function mount(root, ctx) {
  render(html`<${ChannelPage} ctx=${ctx} />`, root);
  return () => render(null, root);
}

function ChannelPage({ ctx }) {
  const route = useSignal(ctx.route);
  const { platform, id } = route.params;
  if (!platform) return null;
  return html`<${Channel} key=${`${platform}/${id}`} ctx=${ctx} platform=${platform} id=${id} />`;
}

function Channel({ ctx, platform, id }) {
  const language = useSignal(lang);
  const path = `/api/channels/${encodeURIComponent(platform)}/${encodeURIComponent(id)}`;
  const channel = useResource((signal) => ctx.api.get(path, null, signal), [], {
    stream: ctx.stream, on: ["live", "event"], keep: path,
    when: (data) => data.platform === platform && (data.channel_id === undefined || data.channel_id === id),
  });
  const data = channel.data;
  useEffect(() => {
    ctx.title.value = data?.channel_name ?? t("col.channel");
  }, [data?.channel_name, language]);

  if (!data && channel.error?.status === 404) {
    return html`<${Back} /><${Note} title=${t("channel.missing")}><p class="muted">${t("channel.missing_text")}</p></${Note}>`;
  }
  if (!data && channel.error) return html`<${Back} /><${Failure} error=${channel.error} retry=${channel.reload} />`;
  return html`
    <${Back} />
    <${Head} data=${data} platform=${platform} />
    <${Viewers} ctx=${ctx} path=${path} channel=${data} at=${channel.at} />
    <section class="section">
      <h2>${t("channel.events")}</h2>
      ${data && (data.events.length > 0 ? html`<${EventList} events=${data.events} named=${false} />`
        : html`<p class="muted">${t("channel.no_events")}</p>`)}
    </section>`;
}

function Back() {
  return html`<a class="back" href="#/live" data-back onClick=${goBack}>← ${t("nav.live")}</a>`;
}

/** Back to the board as it was left, filter and place; from outside, to a fresh one. */
function goBack(event) {
  if (cameFromInside()) {
    event.preventDefault();
    history.back();
  }
}

function Head({ data, platform }) {
  return html`
    <header class="channel-head">
      <div class="channel-title">
        <h1>${data?.channel_name ?? "\u00a0"}</h1>
        <${Platform} name=${platform} />
        ${data && html`<${Pill} kind=${data.live ? "ok" : "idle"}>${t(data.live ? "channel.live" : "channel.off")}</${Pill}>`}
        ${data?.surge && html`<${Surge} />`}
      </div>
      <p class="channel-sub"><span class="clip">${data?.title ?? "\u00a0"}</span><span class="muted">${data?.category ?? ""}</span></p>
      ${data?.url && html`<a class="button channel-out" href=${data.url} target="_blank" rel="noopener noreferrer">${t("channel.open", { platform: platformName(platform) })} ↗</a>`}
    </header>`;
}

/** The chart with its range, zoom and the figures of what is shown. */
function Viewers({ ctx, path, channel, at }) {
  const language = lang.value;
  const [range, setRange] = useState("24h");
  const [zoom, setZoom] = useState(null);
  const end = channel ? millis(channel.last_seen) / 1000 : Date.now() / 1000;
  const first = channel ? millis(channel.first_seen) / 1000 : end - 86400;
  const bounds = spanFor(range, end, first);
  const span = zoom ?? bounds;
  const step = stepFor(span.to - span.from);
  const asked = channel ? `${range} ${zoom?.from} ${zoom?.to} ${at}` : "";
  const series = useResource(
    (signal) => (channel ? ctx.api.get(`${path}/series`,
      { from: Math.floor(span.from), to: Math.ceil(span.to), step, agg: step && "max" }, signal) : new Promise(() => {})),
    [asked], { keep: `${path}/series` },
  );
  const figures = series.data ? stats(series.data.at, series.data.viewers) : {};
  return html`
    <dl class="figures">
      <${Figure} label=${t("channel.viewers")}><${Num} value=${channel?.viewers} text=${count(channel?.viewers, language)} /></${Figure}>
      <${Figure} label=${t("channel.change")}><${Delta} value=${channel?.delta} text=${signed(channel?.delta, language)} /></${Figure}>
      <${Figure} label=${t("channel.peak")}>${count(channel?.peak, language)}</${Figure}>
      <${Figure} label=${t("channel.range_peak")} note=${figures.maxAt ? moment(figures.maxAt, language) : ""}>${count(figures.max, language)}</${Figure}>
      <${Figure} label=${t("channel.range_mean")}>${count(figures.mean, language)}</${Figure}>
      <${OnAir} channel=${channel} />
    </dl>
    <div class="chart-bar">
      <${Choice} name="range" label=${t("channel.range")} value=${range} onChange=${(key) => { setRange(key); setZoom(null); }}
        options=${[...RANGES.map((r) => r.key), "all"].map((key) => [key, t(`range.${key}`)])} />
      <span class="muted chart-hint">${step ? t("channel.step", { step }) : t("channel.hint")}</span>
      <button class="button" disabled=${!zoom} onClick=${() => setZoom(null)} data-reset-zoom>${t("channel.reset")}</button>
    </div>
    ${!series.data && series.error ? html`<${Failure} error=${series.error} retry=${series.reload} />`
      : html`<${Chart} data=${series.data} span=${span} bounds=${bounds} zoom=${setZoom} loading=${series.loading} />`}`;
}

function Figure({ label, note, children }) {
  return html`<div class="figure"><dt>${label}</dt><dd>${children}</dd><small>${note ?? ""}</small></div>`;
}

function OnAir({ channel }) {
  const now = useNow();
  const text = channel?.live ? since(channel.started_at, now, lang.value) : "–";
  return html`<${Figure} label=${t("channel.on_air")} note=${channel ? t("channel.first_seen", { at: moment(channel.first_seen, lang.value) }) : ""}>${text}</${Figure}>`;
}
