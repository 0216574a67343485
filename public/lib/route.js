/** Hash routes: `#/channels/chzzk/abc?range=24h` to a page name with parameters, and back. */

/**
 * @typedef {Object} Route
 * @property {string} page                    "live", "channel", "events", "operations", "reference" or "plugin"
 * @property {Record<string,string>} params   path parameters, decoded
 * @property {URLSearchParams} query
 * @property {string} path                    the path without query, as it came
 */

const PATTERNS = [
  ["live", /^\/(?:live)?$/, []],
  ["channel", /^\/channels\/([^/]+)\/([^/]+)$/, ["platform", "id"]],
  ["events", /^\/events$/, []],
  ["events", /^\/events\/(\d+)$/, ["id"]],
  ["operations", /^\/operations$/, []],
  ["operations", /^\/operations\/(queues|jobs|schedules|workflows|workers|cache|stream|logs)$/, ["tab"]],
  ["operations", /^\/operations\/(queues|jobs|workflows|stream)\/([^/]+)$/, ["tab", "id"]],
  ["reference", /^\/reference$/, []],
  ["reference", /^\/reference\/([^/]+)$/, ["id"]],
];

/**
 * Anything the shell does not know is a plugin page, looked up by path in /api/pages.
 * @param {string} hash   location.hash, with or without "#"
 * @returns {Route}
 */
export function parseRoute(hash) {
  const text = hash.replace(/^#/, "") || "/";
  const [path, search = ""] = splitOnce(text, "?");
  const query = new URLSearchParams(search);
  for (const [page, pattern, names] of PATTERNS) {
    const match = pattern.exec(path);
    if (!match) continue;
    const params = {};
    names.forEach((name, i) => {
      params[name] = decode(match[i + 1]);
    });
    return { page, params, query, path };
  }
  return { page: "plugin", params: {}, query, path };
}

/** @param {string} platform @param {string} id */
export function channelHref(platform, id) {
  return `#/channels/${encodeURIComponent(platform)}/${encodeURIComponent(id)}`;
}

/** @param {number} id */
export function eventHref(id) {
  return `#/events/${id}`;
}

/** @param {number} id */
export function jobHref(id) {
  return `#/operations/jobs/${id}`;
}

/**
 * A hash with the empty parameters left out.
 * @param {string} path
 * @param {Record<string, string|number|null|undefined>} query
 */
export function href(path, query = {}) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") search.set(key, String(value));
  }
  const text = search.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

function splitOnce(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
