/**
 * A chart of any columns: lines over time or numbers, bars by name. uPlot, in the theme's colours.
 *
 *   <${Plot} kind="line" time=${true} x=${[…]} lines=${[{ name, values }]} />
 *   <${Plot} kind="bar" x=${["a", "b"]} lines=${[{ name: "viewers", values }]} />
 */
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { useSignal } from "../lib/hooks.js";
import { compact, decimal, moment } from "../lib/format.js";
import { lang } from "../lib/settings.js";
import { cssColor, useColours } from "./colors.js";

const library = () => import("../vendor/uplot.js").then((module) => module.default);
const COLOURS = ["wood", "down", "ok", "up", "soop", "chzzk", "warn", "muted"];

/**
 * @param {Object} props
 * @param {"line"|"bar"} props.kind
 * @param {boolean} [props.time]            x are epoch seconds
 * @param {any[]} props.x                   ascending numbers, or names of bars
 * @param {{name: string, values: (number|null)[]}[]} props.lines
 */
export function Plot({ kind, time = false, x, lines }) {
  const language = useSignal(lang);
  const place = useRef(null);
  const [at, setAt] = useState(/** @type {number|null} */ (null));
  const colours = useColours();
  useEffect(() => {
    let gone = false;
    let plot = null;
    let observer = null;
    const box = place.current;
    setAt(null);
    library().then((UPlot) => {
      if (gone) return;
      const size = () => ({ width: box.clientWidth, height: box.clientHeight });
      const places = kind === "bar" ? x.map((_, i) => i) : x;
      plot = new UPlot({ ...size(), ...options(UPlot, { kind, time, x, lines, language, setAt }) },
        [places, ...lines.map((line) => line.values)], box);
      observer = new ResizeObserver(() => box.isConnected && plot.setSize(size()));
      observer.observe(box);
    });
    return () => {
      gone = true;
      observer?.disconnect();
      plot?.destroy();
    };
  }, [kind, time, x, lines, colours, language]);
  const i = at ?? x.length - 1;
  const label = (value) => (kind === "bar" ? value : time ? moment(value, language) : compact(value, language, 2));
  return html`
    <div class="plot" role="img" aria-label=${`${lines.map((line) => line.name).join(", ")}: ${x.length}`} data-plot>
      <p class="plot-read"><span class="plot-x">${x.length > 0 ? label(x[i]) : "–"}</span>
        ${lines.map((line, n) => html`<span key=${line.name}><i style=${`background: var(--${COLOURS[n % COLOURS.length]})`}></i>${line.name} <b>${decimal(line.values[i], language, Number.isInteger(line.values[i]) ? 0 : 2)}</b></span>`)}
      </p>
      <div class="plot-place" ref=${place}></div>
    </div>`;
}

function options(UPlot, { kind, time, x, lines, language, setAt }) {
  const colour = (name) => cssColor(`--${name}`);
  const axis = {
    stroke: colour("muted"), font: "12px " + getComputedStyle(document.body).fontFamily,
    grid: { stroke: colour("line"), width: 1 }, ticks: { show: false },
  };
  const bars = kind === "bar";
  const short = (name) => (name.length > 12 ? `${name.slice(0, 11)}…` : name);
  return {
    legend: { show: false },
    padding: [14, 12, 0, 0],
    cursor: { y: false, drag: { x: !bars, y: false }, points: { size: 7 } },
    scales: {
      x: bars ? { time: false, range: [-0.6, x.length - 0.4] } : { time, range: (_, low, high) => room(low, high, time) },
      y: { range: (_, low, high) => (high === null ? [0, 1] : [Math.min(0, low), high <= 0 ? 1 : high * 1.1]) },
    },
    axes: [
      bars ? { ...axis, grid: { show: false }, size: 30, splits: () => x.map((_, i) => i), space: 60,
        values: (u, places) => places.map((i) => (fits(u, x.length, i) ? short(x[i]) : "")) }
        : { ...axis, size: 30, space: 90, values: (_, places) => places.map((value) => (time ? moment(value, language) : compact(value, language, 2))) },
      { ...axis, size: 58, values: (_, places) => places.map((value) => compact(value, language, 2)) },
    ],
    series: [{}, ...lines.map((line, n) => {
      const stroke = colour(COLOURS[n % COLOURS.length]);
      return bars
        ? { label: line.name, stroke, fill: stroke, paths: UPlot.paths.bars({ size: [0.7, 60] }), points: { show: false } }
        : { label: line.name, stroke, width: 2, dash: n >= COLOURS.length ? [6, 4] : undefined, spanGaps: true,
          points: { show: x.length < 3 } };
    })],
    hooks: { setCursor: [(u) => setAt(u.cursor.idx ?? null)] },
  };
}

/** One place alone has room on both sides. */
function room(low, high, time) {
  if (low === null) return [0, 1];
  const side = low < high ? 0 : time ? 1800 : 1;
  return [low - side, high + side];
}

/** Not every bar's name has room. */
function fits(u, n, i) {
  const every = Math.max(1, Math.ceil((n * 84) / Math.max(1, u.width)));
  return i % every === 0;
}
