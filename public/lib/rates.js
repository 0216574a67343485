/** What counters say between two looks: processor share and lines per second. */

/**
 * Seconds of processor per second, by name; null until there are two looks or after a restart.
 * @param {{at: number, values: Record<string, number>}|null} before   `at` in milliseconds
 * @param {{at: number, values: Record<string, number>}} now
 * @returns {Record<string, number|null>}
 */
export function shares(before, now) {
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  const out = {};
  for (const [name, value] of Object.entries(now.values)) {
    const old = before?.values[name];
    out[name] = seconds > 0 && typeof old === "number" && value >= old ? (value - old) / seconds : null;
  }
  return out;
}

/**
 * Joins a tail's new lines to those kept; a server that started again counts from one, and its
 * lines replace the old ones.
 * @param {{seq: number}[]} kept @param {{lines: {seq: number}[], last: number}} answer @param {number} most
 */
export function joinLines(kept, answer, most) {
  const last = kept.length > 0 ? kept[kept.length - 1].seq : 0;
  if (answer.last < last) return answer.lines.slice(-most);
  return [...kept, ...answer.lines.filter((line) => line.seq > last)].slice(-most);
}
