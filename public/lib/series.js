/** A channel's chart in numbers: ranges, steps, gaps, zoom. Times are epoch seconds throughout. */

export const RANGES = [
  { key: "6h", seconds: 6 * 3600 },
  { key: "24h", seconds: 24 * 3600 },
  { key: "7d", seconds: 7 * 86400 },
  { key: "30d", seconds: 30 * 86400 },
];

const RAW_SPAN = 2 * 86400;
const MOST_POINTS = 600;
const STEPS = [["5m", 300], ["10m", 600], ["15m", 900], ["30m", 1800], ["1h", 3600], ["2h", 7200],
  ["6h", 21600], ["12h", 43200], ["1d", 86400]];
const SHORTEST_ZOOM = 60;

/**
 * The step to ask for: none (every collection) up to two days, then the finest that stays drawable.
 * @param {number} span   seconds
 * @returns {string|null} a duration such as "30m"
 */
export function stepFor(span) {
  if (span <= RAW_SPAN) return null;
  const step = STEPS.find(([, seconds]) => span / seconds <= MOST_POINTS);
  return (step ?? STEPS[STEPS.length - 1])[0];
}

/**
 * A range begins where the channel does: a young one would be a dot at the chart's edge.
 * @typedef {{from: number, to: number}} Span
 * @param {string} key      one of RANGES, or "all"
 * @param {number} end      the newest instant there is
 * @param {number} first    the oldest
 * @returns {Span}
 */
export function spanFor(key, end, first) {
  const range = RANGES.find((r) => r.key === key);
  const from = range ? Math.max(first, end - range.seconds) : first;
  return { from: Math.min(from, end - SHORTEST_ZOOM), to: end };
}

/**
 * Of a span around an instant what there are points in, with a little air: a young channel would be a sliver in it.
 * @param {Span} whole @param {number} instant @param {number[]|undefined} at   ascending; none: the whole
 * @returns {Span}
 */
export function fitSpan(whole, instant, at) {
  if (!at?.length) return whole;
  const from = Math.min(at[0], instant), to = Math.max(at[at.length - 1], instant);
  const air = Math.max((to - from) / 20, SHORTEST_ZOOM / 4);
  return { from: Math.max(whole.from, from - air), to: Math.min(whole.to, to + air) };
}

/**
 * The chart's keys: arrows pan, + and − zoom about the middle. Never outside `bounds`.
 * @param {Span} span @param {Span} bounds @param {string} key
 * @returns {Span|null}   null when the key means nothing here
 */
export function moveSpan(span, bounds, key) {
  const length = span.to - span.from;
  const middle = (span.to + span.from) / 2;
  const moves = {
    ArrowLeft: [span.from - length / 5, length],
    ArrowRight: [span.from + length / 5, length],
    "+": [middle - length / 4, length / 2],
    "=": [middle - length / 4, length / 2],
    "-": [middle - length, length * 2],
  };
  if (!moves[key]) return null;
  const [from, wanted] = moves[key];
  return clampSpan(from, Math.max(wanted, SHORTEST_ZOOM), bounds);
}

function clampSpan(from, length, bounds) {
  const longest = Math.min(length, bounds.to - bounds.from);
  const start = Math.min(Math.max(from, bounds.from), bounds.to - longest);
  return { from: start, to: start + longest };
}

/**
 * Breaks the line where nothing was collected: an absence is not a slow fall. A gap is more than
 * three usual intervals; a null row is put into it.
 * @param {number[]} at
 * @param {(number|null)[][]} columns
 * @returns {(number|null)[][]}   [at, …columns]
 */
export function withGaps(at, columns) {
  const limit = usualInterval(at) * 3;
  const out = [[], ...columns.map(() => [])];
  at.forEach((time, i) => {
    if (i > 0 && time - at[i - 1] > limit) {
      out[0].push((time + at[i - 1]) / 2);
      columns.forEach((_, c) => out[c + 1].push(null));
    }
    out[0].push(time);
    columns.forEach((column, c) => out[c + 1].push(column[i] ?? null));
  });
  return out;
}

/** The median distance of neighbours, Infinity below two points. @param {number[]} at */
export function usualInterval(at) {
  if (at.length < 2) return Infinity;
  const steps = at.slice(1).map((time, i) => time - at[i]).sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] || Infinity;
}

/**
 * @param {number[]} at @param {(number|null)[]} values
 * @returns {{max: number|null, maxAt: number|null, mean: number|null, min: number|null}}
 */
export function stats(at, values) {
  let max = null;
  let maxAt = null;
  let min = null;
  let sum = 0;
  let n = 0;
  values.forEach((v, i) => {
    if (v === null || v === undefined) return;
    if (max === null || v > max) [max, maxAt] = [v, at[i]];
    if (min === null || v < min) min = v;
    sum += v;
    n++;
  });
  return { max, maxAt, min, mean: n ? sum / n : null };
}

/**
 * An SVG path through the values, the last at the right edge; "" below two values.
 * @param {number[]} values @param {number} width @param {number} height
 */
export function sparkPath(values, width, height) {
  const known = values.filter((v) => v !== null);
  if (known.length < 2) return "";
  const low = Math.min(...known);
  const span = Math.max(...known) - low;
  const step = width / (values.length - 1);
  let pen = "M";
  return values.map((v, i) => {
    if (v === null) {
      pen = "M";
      return "";
    }
    const y = span === 0 ? height / 2 : height - ((v - low) / span) * height;
    const point = `${pen}${round(i * step)} ${round(y)}`;
    pen = "L";
    return point;
  }).join("");
}

function round(n) {
  return Math.round(n * 10) / 10;
}
