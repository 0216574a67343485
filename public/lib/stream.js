/** The live event stream: connects, notices silence and loss, returns by itself, says which it is. */
import { signal } from "./signal.js";
import { backoff } from "./backoff.js";

const PING_MS = 15000;
const HIDDEN_MS = 60000;
/** A server that has just come back answers before its stream does: so many tries come quickly. */
const QUICK_TRIES = 4;

/**
 * @typedef {"connecting"|"open"|"polling"|"gone"} LinkState
 *   open: events arrive. polling: the server answers but has no stream (plugin failed or absent).
 *   gone: nothing answers.
 */

/**
 * One EventSource for the whole page. `on` may be called at any time and returns its own undo;
 * the pseudo-event "sync" fires whenever what is shown may be stale: on every (re)connection, and
 * every try while polling: a few soon, then every PING_MS.
 * @param {string} url
 * @param {string[]} names                  the server's event names
 * @param {Object} [host]                   replaced by specs
 * @param {() => Promise<boolean>} [host.alive]    resolves to whether the server answers
 * @param {typeof EventSource} [host.Source]
 * @param {typeof setTimeout} [host.setTimeout]
 * @param {() => number} [host.now]
 */
export function openStream(url, names, host = {}) {
  const alive = host.alive ?? defaultAlive;
  const Source = host.Source ?? globalThis.EventSource;
  const later = host.setTimeout ?? globalThis.setTimeout.bind(globalThis);
  const now = host.now ?? Date.now;
  const state = signal(/** @type {LinkState} */ ("connecting"));
  const since = signal(now());
  const listeners = new Map();
  let source = null;
  let retry = 0;
  let attempts = 0;
  let parked = false;
  let closed = false;

  const emit = (name, data) => {
    for (const f of [...(listeners.get(name) ?? [])]) f(data);
  };

  const become = (next) => {
    if (state.value !== next) since.value = now();
    state.value = next;
  };

  function drop() {
    source?.close();
    source = null;
    clearTimeout(retry);
  }

  function connect() {
    if (closed || parked) return;
    drop();
    const mine = new Source(url);
    source = mine;
    mine.onopen = () => {
      if (mine !== source) return;
      attempts = 0;
      become("open");
      emit("sync", null);
    };
    for (const name of names) {
      mine.addEventListener(name, (event) => {
        const data = parse(event.data);
        if (mine === source && data) emit(name, data);
      });
    }
    mine.onerror = () => mine === source && lost();
  }

  async function lost() {
    drop();
    const up = await alive();
    if (closed || parked || source) return;
    become(up ? "polling" : "gone");
    if (up) emit("sync", null);
    retry = later(connect, up && attempts >= QUICK_TRIES ? PING_MS : backoff(attempts++));
  }

  /** Finds out now, instead of at the next attempt. */
  async function check() {
    if (closed || parked) return;
    if (state.value === "open") {
      await ping();
    } else {
      attempts = 0;
      connect();
    }
  }

  /** A connection that died without a word looks open; asking is the only way to know. */
  async function ping() {
    const asked = source;
    if (state.value !== "open" || (await alive())) return;
    if (source === asked && state.value === "open") lost();
  }

  function park() {
    parked = true;
    drop();
  }

  function unpark() {
    if (!parked) return;
    parked = false;
    become("connecting");
    connect();
  }

  const unwatch = watchPage({ check, ping, park, unpark, later });
  connect();

  return {
    state,
    since,
    retry: check,
    /** @param {string} name @param {(data: any) => void} f */
    on(name, f) {
      if (!listeners.has(name)) listeners.set(name, new Set());
      listeners.get(name).add(f);
      return () => listeners.get(name).delete(f);
    },
    close() {
      closed = true;
      drop();
      unwatch();
    },
  };
}

/**
 * A hidden page lets go of its connection after a minute (browsers allow six per host over
 * HTTP/1.1, tabs share them); a page that comes back, or a network that does, is checked at once.
 */
function watchPage({ check, ping, park, unpark, later }) {
  if (typeof document === "undefined") return () => {};
  let parking = 0;
  const onVisible = () => {
    clearTimeout(parking);
    if (document.hidden) {
      parking = later(park, HIDDEN_MS);
    } else {
      unpark();
      check();
    }
  };
  const pinging = setInterval(() => !document.hidden && ping(), PING_MS);
  document.addEventListener("visibilitychange", onVisible);
  addEventListener("online", check);
  addEventListener("offline", check);
  return () => {
    clearInterval(pinging);
    clearTimeout(parking);
    document.removeEventListener("visibilitychange", onVisible);
    removeEventListener("online", check);
    removeEventListener("offline", check);
  };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function defaultAlive() {
  try {
    const response = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    return response.ok;
  } catch {
    return false;
  }
}
