/** Series as they come: made here, written by hand, or out of a file. Pure; nothing here knows of a page. */

/** What can be made without any data of one's own. */
export const SAMPLES = ["seasonal", "trend", "noise", "steps"];

/** From here on a series is sent as float32, a third of its JSON. */
const BINARY_FROM = 5000;

/**
 * @typedef {Object} Series
 * @property {(number|string|null)[]|Float32Array} values   a string is what stood there instead of a number
 * @property {number} bad                      place of the first that is no finite number, from 0; -1 when all are
 * @property {[number, number]|null} at        where that stands in the text, from and to
 * @property {string} [wrong]                  why there is no series at all: "json", "bytes", "shape"
 */

/** The same numbers every time: two people who talk about a sample see the same one. */
function chance(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** @param {string} kind one of SAMPLES @param {number} n @returns {number[]} */
export function sample(kind, n) {
  const normal = chance(SAMPLES.indexOf(kind) + 1);
  const day = (i) => Math.sin((2 * Math.PI * i) / 24);
  const make = {
    seasonal: (i) => 50 + 12 * day(i) + 4 * Math.sin((2 * Math.PI * i) / 168) + 1.2 * normal(),
    trend: (i) => 20 + 0.18 * i + 5 * day(i) + normal(),
    noise: () => 30 + 4 * normal(),
    steps: (i) => 20 + 10 * ((Math.floor(i / 36) * 7) % 4) + 0.5 * normal(),
  }[kind];
  return Array.from({ length: n }, (_, i) => Math.round(make(i) * 1000) / 1000);
}

/** @param {any} value @returns {boolean} */
const fine = (value) => typeof value === "number" && Number.isFinite(value);

function firstBad(values) {
  return values instanceof Float32Array ? values.findIndex((v) => !Number.isFinite(v)) : values.findIndex((v) => !fine(v));
}

/** A token as the number it is, or as the text that stands there. */
function read(token) {
  const bare = token.replace(/^"(.*)"$/s, "$1");
  const number = Number(bare);
  if (bare === token && token !== "" && Number.isFinite(number)) return number;
  return token === "null" ? null : bare;
}

/**
 * Numbers between blanks, commas, semicolons or brackets: a JSON array, NDJSON and a pasted column alike; or an
 * object whose `data` is the series. What is no number stays in its place, so that the server can name it.
 * @param {string} text @returns {Series}
 */
export function parseText(text) {
  if (/^\s*\{/.test(text)) return parseObject(text);
  const values = [];
  let bad = -1;
  let at = null;
  for (const match of text.matchAll(/"[^"\n]*"|[^\s,;[\]]+/g)) {
    const value = read(match[0]);
    if (bad < 0 && !fine(value)) {
      bad = values.length;
      at = [match.index, match.index + match[0].length];
    }
    values.push(value);
  }
  return { values, bad, at };
}

function parseObject(text) {
  try {
    const found = JSON.parse(text).data;
    if (!Array.isArray(found)) return { values: [], bad: -1, at: null, wrong: "shape" };
    return { values: found, bad: firstBad(found), at: null };
  } catch {
    return { values: [], bad: -1, at: null, wrong: "json" };
  }
}

/** One line's cells; quotes hold separators, doubled quotes are one. */
function cells(line, separator) {
  if (!line.includes('"')) return line.split(separator).map((text) => text.trim());
  const out = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i];
    if (c === '"' && quoted && line[i + 1] === '"') {
      cell += '"';
      i++;
    } else if (c === '"') {
      quoted = !quoted;
    } else if (c === separator && !quoted) {
      out.push(cell);
      cell = "";
    } else {
      cell += c;
    }
  }
  return [...out, cell].map((text) => text.trim());
}

/**
 * Columns of a table of text, those with numbers only. A first line without a number in a column names it.
 * @param {string} text
 * @returns {{name: string, values: (number|string|null)[]}[]}
 */
export function parseColumns(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) return [];
  const separator = ["\t", ";", ","].find((c) => lines[0].includes(c)) ?? ",";
  const rows = lines.map((line) => cells(line, separator));
  const number = (cell) => cell !== undefined && cell !== "" && Number.isFinite(Number(cell));
  const named = rows.length > 1 && rows[0].some((cell, i) => !number(cell) && number(rows[1][i]));
  const body = named ? rows.slice(1) : rows;
  return rows[0].map((head, i) => ({
    name: named && head ? head : String(i + 1),
    values: body.map((row) => (number(row[i]) ? Number(row[i]) : row[i] === undefined || row[i] === "" ? null : row[i])),
  })).filter((column) => column.values.some(fine));
}

/**
 * What a dropped file holds: columns to choose from, or one series.
 * @param {string} name @param {ArrayBuffer} bytes
 * @returns {{columns: {name: string, values: any[]}[]} | Series}
 */
export function parseFile(name, bytes) {
  const table = /\.(csv|tsv)$/i.test(name);
  const text = /\.(json|ndjson|jsonl|txt)$/i.test(name);
  if (!table && !text && (/\.(f32|bin|raw|dat)$/i.test(name) || new Uint8Array(bytes).includes(0))) return parseBytes(bytes);
  const read = new TextDecoder().decode(bytes).replace(/^\ufeff/, "");
  return table ? { columns: parseColumns(read) } : parseText(read);
}

/** Little-endian float32. @param {ArrayBuffer} bytes @returns {Series} */
function parseBytes(bytes) {
  if (bytes.byteLength % 4 !== 0) return { values: [], bad: -1, at: null, wrong: "bytes" };
  const view = new DataView(bytes);
  const values = Float32Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
  return { values, bad: firstBad(values), at: null };
}

/**
 * What a model's file says of itself, or null when it is none: name and version, out of the header of safetensors.
 * @param {ArrayBuffer} bytes @returns {{name: string, version: string}|null}
 */
export function modelOf(bytes) {
  try {
    const length = Number(new DataView(bytes).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
    const { name, version } = JSON.parse(header.__metadata__.maru);
    return typeof name === "string" && typeof version === "string" ? { name, version } : null;
  } catch {
    return null;
  }
}

/** @param {any[]|Float32Array} values @returns {Series} */
export function seriesOf(values) {
  return { values, bad: firstBad(values), at: null };
}

/**
 * The request that submits a series: JSON, or float32 when there is much of it and nothing wrong with it.
 * @param {Series} series @param {Record<string, any>} rest   empty ones are left out
 * @returns {{query: Record<string, any>, type: string, body: BodyInit}}
 */
export function requestOf(series, rest) {
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const { values } = series;
  /* What is no object there is for the server to refuse, by its name. */
  const flat = !("metadata" in given) && Object.values(given).every((value) => typeof value !== "object");
  if (flat && (values instanceof Float32Array || (values.length >= BINARY_FROM && series.bad < 0))) {
    const bytes = new DataView(new ArrayBuffer(4 * values.length));
    values.forEach((value, i) => bytes.setFloat32(4 * i, value, true));
    return { query: given, type: "application/octet-stream", body: bytes.buffer };
  }
  return { query: {}, type: "application/json", body: JSON.stringify({ ...given, data: [...values] }) };
}

/** What was written as metadata: nothing, the object, or, when it is none, the text as it stands. @param {string} text */
export function metadataOf(text) {
  if (text.trim() === "") return null;
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? value : text;
  } catch {
    return text;
  }
}

/** @param {ArrayLike<any>} values @returns {{n: number, min: number, max: number, mean: number}} of the numbers among them */
export function describe(values) {
  let n = 0, sum = 0, min = Infinity, max = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (!fine(v)) continue;
    n++;
    sum += v;
    if (v < min) min = v;
    if (v > max) max = v;
  }
  return { n, min, max, mean: n ? sum / n : NaN };
}

/**
 * At most `most` points of a long series, the extremes of each stretch kept, in order.
 * @param {ArrayLike<any>} values @param {number} most
 * @returns {(number|null)[]}
 */
export function thin(values, most) {
  const numbers = Array.from(values, (v) => (fine(v) ? v : null));
  if (numbers.length <= most) return numbers;
  const size = numbers.length / (most / 2);
  const out = [];
  for (let from = 0; from < numbers.length; from += size) {
    let low = -1, high = -1;
    for (let i = Math.floor(from); i < Math.min(numbers.length, Math.floor(from + size)); i++) {
      if (numbers[i] === null) continue;
      if (low < 0 || numbers[i] < numbers[low]) low = i;
      if (high < 0 || numbers[i] > numbers[high]) high = i;
    }
    if (low >= 0) out.push(numbers[Math.min(low, high)], numbers[Math.max(low, high)]);
  }
  return out;
}

/**
 * Round places on an axis, about `n` of them, within low and high.
 * @param {number} low @param {number} high @param {number} n @param {boolean} [whole]   only whole numbers
 */
export function ticks(low, high, n, whole = false) {
  const rough = (high - low) / Math.max(1, n);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= rough) ?? 10 * power;
  if (whole) step = Math.max(1, Math.round(step));
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(i * step || 0);
  return out;
}

/**
 * A forecast as lines over steps: 0 is the last point known, those after it are foretold.
 * @param {any} result    of the server
 * @param {number} [most] points of the past at most, where only what was smoothed is known
 * @returns {{x: number[], history: (number|null)[], smoothed: (number|null)[]|null, median: (number|null)[], low: (number|null)[]|null, high: (number|null)[]|null, low_q: number, high_q: number}|null}
 */
export function linesOf(result, most = 96) {
  if (!result) return null;
  const list = (value) => (Array.isArray(value) ? value : []);
  const history = list(result.history);
  const smoothed = list(result.values).slice(-(history.length || most));
  const forecast = list(result.forecast);
  const bands = list(result.bands).map(list);
  const past = Math.max(history.length, smoothed.length);
  if (past + forecast.length === 0) return null;
  const banded = bands.length > 1 && bands[0].length > 0;
  const pad = (n) => Array.from({ length: n }, () => null);
  const last = history[history.length - 1] ?? smoothed[smoothed.length - 1] ?? null;
  const before = pad(Math.max(0, past - 1));
  const ahead = (values) => [...before, ...(past > 0 ? [values.length > 0 ? last : null] : []), ...values];
  const quantiles = list(result.quantiles);
  return {
    x: Array.from({ length: past + forecast.length }, (_, i) => i - past + 1),
    history: [...pad(past - history.length), ...history, ...pad(forecast.length)],
    smoothed: smoothed.length > 0 ? [...pad(past - smoothed.length), ...smoothed, ...pad(forecast.length)] : null,
    median: ahead(forecast),
    low: banded ? ahead(bands[0]) : null,
    high: banded ? ahead(bands[bands.length - 1]) : null,
    low_q: quantiles[0] ?? NaN,
    high_q: quantiles[quantiles.length - 1] ?? NaN,
  };
}

/** Least and most of several lines, with a little air; a flat line lies in the middle. @param {((number|null)[]|null)[]} lines */
export function rangeOf(lines) {
  const all = describe(lines.flatMap((line) => line ?? []));
  if (all.n === 0) return [0, 1];
  const air = (all.max - all.min) * 0.06 || Math.abs(all.max) * 0.05 || 1;
  return [all.min - air, all.max + air];
}

const round = (n) => Math.round(n * 10) / 10;

/** SVG path of a line; a null lifts the pen. @param {(number|null)[]} values @param {(i: number) => number} x @param {(v: number) => number} y */
export function pathOf(values, x, y) {
  let pen = "M";
  return values.map((v, i) => {
    if (v === null || v === undefined) {
      pen = "M";
      return "";
    }
    const part = `${pen}${round(x(i))} ${round(y(v))}`;
    pen = "L";
    return part;
  }).join("");
}

/** SVG path of what lies between two lines. */
export function areaOf(low, high, x, y) {
  const places = low.map((v, i) => (v !== null && high[i] !== null ? i : -1)).filter((i) => i >= 0);
  if (places.length < 2) return "";
  const point = (values) => (i) => `${round(x(i))} ${round(y(values[i]))}`;
  return `M${places.map(point(high)).join("L")}L${places.reverse().map(point(low)).join("L")}Z`;
}
