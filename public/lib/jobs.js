/** What the pages about jobs compute: searches, windows of long lists, curves, clock changes. */

export const STATES = ["ready", "delayed", "running", "dead", "done", "cancelled", "expired"];
const QUALIFIERS = ["queue", "kind", "state"];

/**
 * @typedef {Object} JobFilter
 * @property {string} queue @property {string} kind @property {string} state
 * @property {string} q      the words that are no qualifier
 */

/**
 * `queue:mail state:dead timed out` → its parts. A qualifier that comes twice counts once, the last.
 * @param {string} text
 * @returns {JobFilter}
 */
export function parseSearch(text) {
  const filter = { queue: "", kind: "", state: "", q: "" };
  const words = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const match = /^(queue|kind|state):(.*)$/.exec(word);
    if (!match) words.push(word);
    else if (match[1] !== "state" || STATES.includes(match[2])) filter[match[1]] = match[2];
  }
  filter.q = words.join(" ");
  return filter;
}

/** The reverse. @param {Partial<JobFilter>} filter */
export function formatSearch(filter) {
  return [...QUALIFIERS.filter((name) => filter[name]).map((name) => `${name}:${filter[name]}`), filter.q].filter(Boolean).join(" ");
}

/** Whether a filter lets everything through. @param {JobFilter} filter */
export function isEveryJob(filter) {
  return !filter.queue && !filter.kind && !filter.state && !filter.q;
}

/**
 * What the last word of a search may become.
 * @param {string} text
 * @param {{queue: string[], kind: string[], state: string[]}} known
 * @returns {string[]} whole searches
 */
export function completions(text, known) {
  const [, before, word] = /^(.*?)(\S*)$/s.exec(text);
  const [name, value] = word.includes(":") ? [word.slice(0, word.indexOf(":")), word.slice(word.indexOf(":") + 1)] : ["", ""];
  const words = QUALIFIERS.includes(name)
    ? known[name].filter((v) => v.startsWith(value) && v !== value).map((v) => `${name}:${v} `)
    : QUALIFIERS.map((q) => `${q}:`).filter((q) => q.startsWith(word) && !before.includes(q));
  return words.slice(0, 12).map((w) => before + w);
}

/**
 * The rows of a long list that are to be drawn.
 * @param {number} top      scrolled by so many pixels
 * @param {number} height   of the box
 * @param {number} row      height of a row
 * @param {number} count
 * @param {number} [over]   rows drawn above and below what shows
 * @returns {[number, number]} from, and up to (not with)
 */
export function rowsToDraw(top, height, row, count, over = 8) {
  const from = Math.max(0, Math.floor(top / row) - over);
  return [Math.min(from, count), Math.min(count, Math.ceil((top + height) / row) + over)];
}

/**
 * Sums of `size` neighbours, aligned to the end, so that few points tell of many.
 * @param {(number|null)[]} values @param {number} size @returns {(number|null)[]}
 */
export function bundle(values, size, how = "sum") {
  const result = [];
  for (let end = values.length; end > 0; end -= size) {
    const part = values.slice(Math.max(0, end - size), end).filter((v) => v !== null);
    if (part.length === 0) result.unshift(how === "sum" ? 0 : null);
    else result.unshift(how === "sum" ? part.reduce((a, b) => a + b, 0) : Math.max(...part));
  }
  return result;
}

/**
 * An SVG path through values over a box; null breaks the line.
 * @param {(number|null)[]} values @param {number} width @param {number} height @param {number} most   the value at the top
 */
export function curve(values, width, height, most) {
  const step = values.length > 1 ? width / (values.length - 1) : width;
  let path = "";
  let pen = "M";
  values.forEach((v, i) => {
    if (v === null) {
      pen = "M";
      return;
    }
    path += `${pen}${(i * step).toFixed(1)} ${(height - (most > 0 ? v / most : 0) * height).toFixed(1)}`;
    /* A point between gaps is a line without length: round ends make a dot of it. */
    if (pen === "M" && (values[i + 1] ?? null) === null) path += "h0";
    pen = "L";
  });
  return path;
}

/** A round number at or over the largest value, for an axis. @param {number} most */
export function ceiling(most) {
  if (!(most > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= most);
}

/**
 * A zone's distance from UTC at an instant, in minutes; NaN for a zone the browser does not know.
 * @param {string} iso @param {string} zone
 */
export function offsetAt(iso, zone) {
  const at = new Date(iso);
  try {
    const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" }).formatToParts(at);
    const get = (type) => Number(parts.find((p) => p.type === type).value);
    const wall = Date.UTC(get("year"), get("month") - 1, get("day"), get("hour"), get("minute"), get("second"));
    return Math.round((wall - Math.floor(at.getTime() / 1000) * 1000) / 60000);
  } catch {
    return NaN;
  }
}

/**
 * Of instants one after the other, by how many minutes the clock was set before each.
 * @param {string[]} instants @param {string} zone @returns {number[]}
 */
export function clockChanges(instants, zone) {
  const offsets = instants.map((at) => offsetAt(at, zone));
  return offsets.map((offset, i) => (i > 0 && Number.isFinite(offset) && Number.isFinite(offsets[i - 1]) ? offset - offsets[i - 1] : 0));
}
