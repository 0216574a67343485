/** An answer's rows as what a chart draws: a line a name over one x, bars by category. Pure. */

const MOST_LINES = 12;
const MOST_BARS = 60;

/** @typedef {{columns: string[], types: string[], rows: any[][]}} Answer */

/** Columns that may be time: times, and whole numbers that look like seconds since 1970. @param {Answer} answer */
export function timeColumns(answer) {
  return indexes(answer, (type, i) => type === "time" || (type === "integer" && answer.rows.length > 0
    && answer.rows.every((row) => row[i] === null || (row[i] > 1e9 && row[i] < 5e9))));
}

/** @param {Answer} answer */
export function numberColumns(answer) {
  return indexes(answer, (type) => type === "number" || type === "integer");
}

/** Columns with few enough different values to be lines or bars. @param {Answer} answer */
export function nameColumns(answer) {
  return indexes(answer, (type) => type === "text" || type === "boolean" || type === "integer");
}

function indexes(answer, fits) {
  return answer.types.map((type, i) => (fits(type, i) ? i : -1)).filter((i) => i >= 0);
}

/**
 * What to draw when nobody has chosen yet; null when there is nothing to draw.
 * @param {Answer} answer
 * @returns {{kind: "line"|"bar", x: number, y: number, by: number}|null}   by -1: one line
 */
export function guess(answer) {
  const times = timeColumns(answer);
  const numbers = numberColumns(answer).filter((i) => !times.includes(i));
  const names = nameColumns(answer).filter((i) => !times.includes(i) && answer.types[i] === "text");
  if (numbers.length === 0 || answer.rows.length === 0) return null;
  const y = numbers[numbers.length - 1];
  if (times.length > 0) return { kind: "line", x: times[0], y, by: names[0] ?? -1 };
  const x = names[0] ?? nameColumns(answer).find((i) => i !== y);
  return x === undefined ? null : { kind: "bar", x, y, by: -1 };
}

/**
 * Lines over one ascending x. The largest lines are kept; of several values at one place the last counts.
 * @param {Answer} answer @param {{x: number, y: number, by: number}} choice
 * @returns {{x: number[], lines: {name: string, values: (number|null)[]}[], left: number}}   left: lines not shown
 */
export function toLines(answer, { x, y, by }) {
  const places = new Map();
  const lines = new Map();
  for (const row of answer.rows) {
    if (row[x] === null) continue;
    if (!places.has(row[x])) places.set(row[x], 0);
    const name = by < 0 ? answer.columns[y] : String(row[by] ?? "NULL");
    if (!lines.has(name)) lines.set(name, { name, at: new Map(), most: -Infinity });
    const line = lines.get(name);
    line.at.set(row[x], row[y]);
    if (row[y] !== null) line.most = Math.max(line.most, row[y]);
  }
  const all = [...places.keys()].sort((a, b) => a - b);
  const kept = [...lines.values()].sort((a, b) => b.most - a.most);
  return {
    x: all,
    lines: kept.slice(0, MOST_LINES).map((line) => ({ name: line.name, values: all.map((at) => line.at.get(at) ?? null) })),
    left: Math.max(0, kept.length - MOST_LINES),
  };
}

/**
 * Bars in the order of the rows; equal names add up.
 * @param {Answer} answer @param {{x: number, y: number}} choice
 * @returns {{names: string[], values: number[], left: number}}
 */
export function toBars(answer, { x, y }) {
  const bars = new Map();
  for (const row of answer.rows) {
    const name = row[x] === null ? "NULL" : String(row[x]);
    bars.set(name, (bars.get(name) ?? 0) + (row[y] ?? 0));
  }
  const all = [...bars.entries()];
  const kept = all.slice(0, MOST_BARS);
  return { names: kept.map(([name]) => name), values: kept.map(([, value]) => value), left: all.length - kept.length };
}
