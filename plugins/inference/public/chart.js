/** Forecasts drawn: small in a row of a list, large with axes, a reading and the keyboard. */
import { areaOf, describe, linesOf, pathOf, rangeOf, thin, ticks } from "./series.js";

const SMALL = { width: 168, height: 34 };
const EDGE = { top: 12, right: 14, bottom: 26, left: 56 };

/** @param {ReturnType<typeof import("./kit.js").makeKit>} kit */
export function makeCharts(kit) {
  const { html, t, value, useEffect, useLayoutEffect, useMemo, useRef, useState } = kit;

  /** The end of the history, the forecast and its band, in one row of a list; the numbers stand in the result. */
  function Spark({ result }) {
    const lines = useMemo(() => linesOf(result, 48), [result]);
    if (!lines) return html`<svg class="inf-spark" viewBox=${`0 0 ${SMALL.width} ${SMALL.height}`} aria-hidden="true"><path class="inf-none" d=${`M0 ${SMALL.height / 2}H${SMALL.width}`} /></svg>`;
    const [low, high] = rangeOf([lines.history, lines.median, lines.low, lines.high, lines.smoothed]);
    const n = lines.x.length;
    const x = (i) => (n > 1 ? (i / (n - 1)) * SMALL.width : SMALL.width / 2);
    const y = (v) => SMALL.height - ((v - low) / (high - low)) * SMALL.height;
    return html`
      <svg class="inf-spark" viewBox=${`0 0 ${SMALL.width} ${SMALL.height}`} preserveAspectRatio="none" role="img" aria-label=${t("spark", { first: value(result.forecast?.[0]), last: value(result.forecast?.[result.forecast.length - 1]) })} data-spark>
        ${lines.low && html`<path class="inf-band" d=${areaOf(lines.low, lines.high, x, y)} />`}
        <path class="inf-history" d=${pathOf(lines.history, x, y)} />
        ${lines.smoothed && html`<path class="inf-smoothed" d=${pathOf(lines.smoothed, x, y)} />`}
        <path class="inf-median" d=${pathOf(lines.median, x, y)} />
      </svg>`;
  }

  /** A series before it is sent: its shape, and where it is wrong. */
  function Preview({ series }) {
    const drawn = useMemo(() => thin(series.values, 600), [series]);
    const facts = useMemo(() => describe(series.values), [series]);
    const [low, high] = rangeOf([drawn]);
    const x = (i) => (drawn.length > 1 ? (i / (drawn.length - 1)) * 600 : 300);
    const y = (v) => 120 - ((v - low) / (high - low)) * 120;
    const said = { n: kit.count(series.values.length), min: value(facts.min), max: value(facts.max), mean: value(facts.mean) };
    return html`
      <div class="inf-preview">
        <svg viewBox="0 -2 600 124" preserveAspectRatio="none" role="img" aria-label=${facts.n > 0 ? t("preview", said) : t("no_points")} data-preview=${series.values.length}>
          <path class="inf-history" d=${pathOf(drawn, x, y)} /></svg>
        <p class="muted inf-facts" data-facts>${facts.n > 0 ? t("facts", said) : t("no_points")}</p>
      </div>`;
  }

  /** How wide a box is, now and after it changed. */
  function useWidth(place) {
    const [width, setWidth] = useState(0);
    useLayoutEffect(() => setWidth(place.current.clientWidth), []);
    useEffect(() => {
      const observer = new ResizeObserver(() => place.current && setWidth(place.current.clientWidth));
      observer.observe(place.current);
      return () => observer.disconnect();
    }, []);
    return width;
  }

  /** The forecast at full size. Step 0 is the last point known. */
  function Forecast({ result }) {
    const place = useRef(null);
    const width = useWidth(place);
    const [at, setAt] = useState(-1);
    const lines = useMemo(() => linesOf(result), [result]);
    const height = width > 0 && width < 560 ? 260 : 320;
    const n = lines?.x.length ?? 0;
    const inner = Math.max(1, width - EDGE.left - EDGE.right);
    const [low, high] = useMemo(() => rangeOf(lines ? [lines.history, lines.median, lines.low, lines.high, lines.smoothed] : []), [lines]);
    const x = (i) => EDGE.left + (n > 1 ? (i / (n - 1)) * inner : inner / 2);
    const y = (v) => EDGE.top + (1 - (v - low) / (high - low)) * (height - EDGE.top - EDGE.bottom);
    const pick = (i) => setAt(Math.max(0, Math.min(n - 1, i)));
    const onMove = (event) => pick(Math.round(((event.clientX - place.current.getBoundingClientRect().left - EDGE.left) / inner) * (n - 1)));
    const onKey = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const from = at < 0 ? n - 1 : at;
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: n - 1, PageUp: from - 10, PageDown: from + 10 }[event.key];
      if (to === undefined || n === 0) return;
      event.preventDefault();
      pick(to);
    };
    const chosen = at >= 0 && at < n ? at : n - 1;
    return html`
      <div class="inf-chart" role="group" tabindex="0" onKeyDown=${onKey} aria-label=${lines ? summary(result, lines) : t("chart")} data-chart>
        <${Reading} lines=${lines} i=${chosen} />
        <div class="inf-chart-place" style=${`height:${height}px`} ref=${place} onPointerMove=${onMove} onPointerLeave=${() => setAt(-1)}>
          ${lines && width > 0 && html`
            <svg width=${width} height=${height} aria-hidden="true">
              <${Axes} lines=${lines} low=${low} high=${high} x=${x} y=${y} width=${width} height=${height} />
              ${lines.low && html`<path class="inf-band" d=${areaOf(lines.low, lines.high, x, y)} data-band />`}
              <path class="inf-history" d=${pathOf(lines.history, x, y)} data-history />
              ${lines.smoothed && html`<path class="inf-smoothed" d=${pathOf(lines.smoothed, x, y)} data-smoothed />`}
              <path class="inf-median" d=${pathOf(lines.median, x, y)} data-median />
              ${at >= 0 && html`<${Cursor} lines=${lines} i=${chosen} x=${x} y=${y} bottom=${height - EDGE.bottom} />`}
            </svg>`}
        </div>
      </div>`;
  }

  function Axes({ lines, low, high, x, y, width, height }) {
    const first = lines.x[0], last = lines.x[lines.x.length - 1];
    const steps = ticks(first, last, Math.max(4, width / 90), true), marks = ticks(low, high, 5);
    const mark = (v) => kit.axis(v, marks[1] - marks[0] || 1, Math.max(...marks.map(Math.abs)));
    return html`
      ${marks.map((v) => html`<g key=${v}><line class="inf-grid" x1=${EDGE.left} x2=${width - EDGE.right} y1=${y(v)} y2=${y(v)} />
        <text class="inf-tick" x=${EDGE.left - 8} y=${y(v) + 4} text-anchor="end">${mark(v)}</text></g>`)}
      ${steps.map((step) => html`<text key=${step} class="inf-tick" x=${x(step - first)} y=${height - 7} text-anchor="middle">${step === 0 ? t("now") : kit.signed(step)}</text>`)}
      ${first <= 0 && last > 0 && html`<line class="inf-now" x1=${x(-first)} x2=${x(-first)} y1=${EDGE.top} y2=${height - EDGE.bottom} />`}`;
  }

  function Cursor({ lines, i, x, y, bottom }) {
    const dots = [["history", lines.history], ["smoothed", lines.smoothed], ["median", lines.x[i] > 0 ? lines.median : null]].filter(([, line]) => line && line[i] !== null && line[i] !== undefined);
    return html`<line class="inf-cursor" x1=${x(i)} x2=${x(i)} y1=${EDGE.top} y2=${bottom} />
      ${dots.map(([name, line]) => html`<circle key=${name} class=${`inf-dot inf-dot-${name}`} cx=${x(i)} cy=${y(line[i])} r="4" />`)}`;
  }

  /** The numbers under the pointer, or the last: text of its own, so that nothing floats over the lines. */
  function Reading({ lines, i }) {
    const step = lines?.x[i] ?? 0;
    const ahead = step > 0;
    const of = (line) => (line ? value(line[i]) : "–");
    return html`
      <p class="inf-read" data-reading><span class="inf-read-step">${lines ? (step === 0 ? t("now") : kit.signed(step)) : "–"}</span>
        <span class="inf-key inf-key-history"><i></i>${t("history")} <b>${ahead ? "–" : of(lines?.history)}</b></span>
        ${lines?.smoothed && html`<span class="inf-key inf-key-smoothed"><i></i>${t("smoothed")} <b>${of(lines.smoothed)}</b></span>`}
        <span class="inf-key inf-key-median"><i></i>${t("median")} <b>${ahead ? of(lines?.median) : "–"}</b></span>
        ${lines?.low && html`<span class="inf-key inf-key-band"><i></i>${t("band", { low: kit.quantile(lines.low_q), high: kit.quantile(lines.high_q) })} <b>${ahead ? `${of(lines.low)} – ${of(lines.high)}` : "–"}</b></span>`}</p>`;
  }

  function summary(result, lines) {
    const forecast = result.forecast ?? [];
    const end = lines.x.length - 1;
    return t("chart_label", {
      n: kit.count(lines.x.length - forecast.length), m: kit.count(forecast.length), first: value(forecast[0]), last: value(forecast[forecast.length - 1]),
      band: lines.low ? t("chart_band", { low: value(lines.low[end]), high: value(lines.high[end]) }) : "",
    });
  }

  return { Spark, Preview, Forecast };
}
