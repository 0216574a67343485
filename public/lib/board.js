/** The live board's arithmetic: its query, its pages, and keeping rows still while somebody points at them. */

export const PAGE = 50;
const LARGEST = 200;

/**
 * @typedef {Object} Live
 * @property {string} platform
 * @property {string} channel_id
 * @property {string} channel_name
 * @property {string} title
 * @property {string|null} category
 * @property {number} viewers
 * @property {number|null} delta
 * @property {number|null} moving_average
 * @property {boolean} surge
 * @property {string|null} started_at
 * @property {boolean} adult
 * @property {string} url
 * @property {number[]} sparkline
 * @property {boolean} [gone]     held in place although it is no longer in the answer
 */

/**
 * @typedef {Object} Filter
 * @property {string} platform    "" for all
 * @property {string} category    "" for all
 * @property {string} q
 * @property {"viewers"|"delta"|"started"} sort
 * @property {"desc"|"asc"} order
 */

const SORTS = ["viewers", "delta", "started"];

/** @param {URLSearchParams} query @returns {Filter} with unknown values replaced by the defaults */
export function filterFromQuery(query) {
  const sort = query.get("sort");
  return {
    platform: query.get("platform") ?? "",
    category: query.get("category") ?? "",
    q: query.get("q") ?? "",
    sort: SORTS.includes(sort) ? sort : "viewers",
    order: query.get("order") === "asc" ? "asc" : "desc",
  };
}

/** The parameters that differ from the defaults, for the address bar. @param {Filter} filter */
export function queryFromFilter({ platform, category, q, sort, order }) {
  const usual = sort === "viewers" && order === "desc";
  return { platform, category, q, sort: usual ? "" : sort, order: usual ? "" : order };
}

/** Sorting by the column already sorted by turns it round. @param {Filter} filter @param {string} sort */
export function sortBy(filter, sort) {
  const order = filter.sort === sort && filter.order === "desc" ? "asc" : "desc";
  return { ...filter, sort, order };
}

/** @param {Live} live */
export function liveKey(live) {
  return `${live.platform}/${live.channel_id}`;
}

/**
 * Follows cursors until `wanted` lives are there or there are no more. A live that moved between two
 * pages while they were fetched appears once.
 * @param {(query: object) => Promise<any>} get
 * @param {Filter} filter
 * @param {number} wanted
 */
export async function fetchBoard(get, filter, wanted) {
  const { platform, category, q, sort, order } = filter;
  const seen = new Set();
  const lives = [];
  let answer = null;
  let cursor = null;
  do {
    const limit = Math.min(LARGEST, wanted - lives.length);
    answer = await get({ platform, category, q, sort, order, limit, cursor });
    for (const live of answer.lives) {
      const key = liveKey(live);
      if (!seen.has(key)) lives.push(live);
      seen.add(key);
    }
    cursor = answer.next;
  } while (cursor && lives.length < wanted && answer.lives.length > 0);
  return { ...answer, lives, next: cursor };
}

/**
 * The new numbers in the old places: rows keep their order, a live that left stays, marked `gone`,
 * and one that came waits until the order is released.
 * @param {Live[]} shown
 * @param {Live[]} next
 * @returns {Live[]}
 */
export function holdOrder(shown, next) {
  const fresh = new Map(next.map((live) => [liveKey(live), live]));
  return shown.map((live) => fresh.get(liveKey(live)) ?? { ...live, gone: true });
}

/**
 * Whether two lists show the same lives in the same order.
 * @param {Live[]} a @param {Live[]} b
 */
export function sameOrder(a, b) {
  return a.length === b.length && a.every((live, i) => liveKey(live) === liveKey(b[i]));
}
