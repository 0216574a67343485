/** Viewers and their moving average over time: uPlot with drag zoom, surge marks and a keyboard. */
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { useSignal } from "../lib/hooks.js";
import { clock, compact, count, decimal, moment } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { eventHref } from "../lib/route.js";
import { moveSpan, stats, withGaps } from "../lib/series.js";
import { lang } from "../lib/settings.js";
import { cssColor, useColours } from "./colors.js";

/** uPlot is 140 KB that only charts need. */
const library = () => import("../vendor/uplot.js").then((module) => module.default);

/**
 * @typedef {Object} ChartData      columns, as the server sends them
 * @property {number[]} at          epoch seconds
 * @property {(number|null)[]} viewers
 * @property {(number|null)[]} moving_average
 * @property {{event_id: number, at: number, viewers: number}[]} surges
 */

/**
 * @param {Object} props
 * @param {ChartData|null} props.data
 * @param {import("../lib/series.js").Span} props.span       what is shown
 * @param {import("../lib/series.js").Span} props.bounds     how far one may go
 * @param {(span: import("../lib/series.js").Span|null) => void} props.zoom    null resets
 * @param {boolean} props.loading
 */
export function Chart({ data, span, bounds, zoom, loading }) {
  const language = useSignal(lang);
  const [at, setAt] = useState(/** @type {number|null} */ (null));
  const place = useRef(null);
  usePlot(place, { data, span, zoom, setAt, language });

  const onKey = (event) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = event.key === "0" ? null : moveSpan(span, bounds, event.key);
    if (next === null && event.key !== "0") return;
    event.preventDefault();
    zoom(next);
  };
  return html`
    <div class="chart" role="group" tabindex="0" onKeyDown=${onKey} aria-label=${data ? summary(data, span, language) : t("channel.viewers")} aria-busy=${loading} data-chart>
      <${Reading} data=${data} at=${at} language=${language} />
      <div class="chart-place" ref=${place}></div>
      ${data && data.at.length === 0 && html`<p class="chart-note">${t("channel.no_points")}</p>`}
    </div>`;
}

/** The numbers under the pointer, or the newest: text of its own, so that nothing floats over the line. */
function Reading({ data, at, language }) {
  const i = data ? nearest(data.at, at) : -1;
  return html`
    <p class="chart-read">
      <span>${i < 0 ? "–" : moment(data.at[i], language)}</span>
      <span class="key-viewers"><i></i>${t("channel.viewers")} <b>${count(data?.viewers[i], language)}</b></span>
      <span class="key-average"><i></i>${t("channel.average")} <b>${decimal(data?.moving_average[i], language, 0)}</b></span>
    </p>`;
}

function nearest(times, at) {
  if (times.length === 0 || at === null) return times.length - 1;
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - times[low - 1] < times[low] - at ? low - 1 : low;
}

function summary(data, span, language) {
  const { max, mean } = stats(data.at, data.viewers);
  return t("channel.chart", {
    from: moment(span.from, language), to: moment(span.to, language), max: count(max, language),
    mean: count(mean, language), surges: data.surges.length,
  });
}

/**
 * One plot per theme and language; new data and new spans go into the plot there is.
 * Everything the plot calls back reads the latest props through a ref.
 */
function usePlot(place, props) {
  const latest = useRef(props);
  const plot = useRef(null);
  latest.current = props;
  const colours = useColours();

  useEffect(() => {
    let gone = false;
    let observer = null;
    const box = place.current;
    library().then((UPlot) => {
      if (gone) return;
      const size = () => ({ width: box.clientWidth, height: box.clientHeight });
      plot.current = new UPlot({ ...size(), ...options(latest) }, columns(latest.current.data), box);
      observer = new ResizeObserver(() => box.isConnected && plot.current?.setSize(size()));
      observer.observe(box);
    });
    return () => {
      gone = true;
      observer?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [colours, props.language]);

  useEffect(() => {
    if (!plot.current) return;
    const { span, data } = latest.current;
    plot.current.batch(() => {
      plot.current.setData(columns(data), false);
      plot.current.setScale("x", { min: span.from, max: span.to });
    });
  }, [props.data, props.span.from, props.span.to]);
}

const columns = (data) => (data ? withGaps(data.at, [data.viewers, data.moving_average]) : [[], [], []]);

function options(latest) {
  const c = (name) => cssColor(`--${name}`);
  const language = latest.current.language;
  const axis = {
    stroke: c("muted"), font: "12px " + getComputedStyle(document.body).fontFamily,
    grid: { stroke: c("line"), width: 1 }, ticks: { show: false },
  };
  return {
    legend: { show: false },
    padding: [14, 8, 0, 0],
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: false, dist: 6 },
      points: { size: 8, width: 2, stroke: c("surface"), fill: c("wood") },
      bind: {
        dblclick: () => () => {
          latest.current.zoom(null);
          return null;
        },
      },
    },
    scales: {
      x: { time: true, range: () => [latest.current.span.from, latest.current.span.to] },
      y: { range: (_, low, high) => (high === null ? [0, 10] : [0, Math.max(10, high * 1.12)]) },
    },
    axes: [
      { ...axis, size: 30, space: 80, values: (_, ticks, __, ___, step) => ticks.map((at) => tick(at, step, language)) },
      { ...axis, size: 58, values: (_, ticks) => ticks.map((n) => compact(n, language, 2)) },
    ],
    series: [
      {},
      { stroke: c("wood"), width: 2, fill: `color-mix(in srgb, ${c("wood")} 12%, transparent)`, points: { show: false } },
      { stroke: c("down"), width: 1.5, dash: [6, 4], points: { show: false } },
    ],
    hooks: {
      setCursor: [(u) => latest.current.setAt(u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null)],
      setSelect: [(u) => {
        if (u.select.width < 6) return;
        const from = u.posToVal(u.select.left, "x");
        const to = u.posToVal(u.select.left + u.select.width, "x");
        u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        latest.current.zoom({ from, to });
      }],
      draw: [(u) => mark(u, latest.current.data?.surges ?? [], language)],
    },
  };
}

/** Dates where a day begins or days are the step, times elsewhere, to the second where they are close. */
function tick(at, step, language) {
  if (step < 60) return clock(at, language).slice(0, 8);
  const [date, time] = [moment(at, language), clock(at, language).slice(0, 5)];
  return step >= 86400 || time === "00:00" ? date.replace(/,? ?\d{2}:\d{2}$/, "") : time;
}

/** Surge marks are elements over the canvas: they can be focused, named and followed. */
function mark(u, surges, language) {
  for (const old of u.over.querySelectorAll(".surge-mark")) old.remove();
  for (const surge of surges) {
    const left = u.valToPos(surge.at, "x");
    if (left < 0 || left > u.over.clientWidth) continue;
    const label = t("channel.mark", { at: moment(surge.at, language), n: count(surge.viewers, language) });
    const line = document.createElement("div");
    line.className = "surge-mark";
    line.style.left = `${left}px`;
    line.dataset.surgeMark = String(surge.event_id);
    const link = document.createElement("a");
    link.href = eventHref(surge.event_id);
    link.title = label;
    link.setAttribute("aria-label", label);
    link.textContent = "↑";
    link.addEventListener("mousedown", (event) => event.stopPropagation());
    const point = document.createElement("i");
    point.style.top = `${u.valToPos(surge.viewers, "y")}px`;
    line.append(link, point);
    u.over.append(line);
  }
}
