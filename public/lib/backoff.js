/** How long to wait before the n-th try: doubling from half a second to ten, with jitter. */

const FIRST_MS = 500;
const LONGEST_MS = 10000;

/**
 * Jitter keeps a room full of dashboards from knocking at a returning server in step.
 * @param {number} attempt            0 for the first
 * @param {() => number} [random]     in [0, 1)
 * @returns {number}                  milliseconds, within 25 % of the nominal delay
 */
export function backoff(attempt, random = Math.random) {
  const nominal = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(nominal * (0.75 + random() * 0.5));
}
