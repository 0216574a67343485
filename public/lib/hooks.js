/** What pages wait for: signals, the clock, and answers that stay fresh. */
import { useCallback, useEffect, useRef, useState } from "./html.js";
import { signal } from "./signal.js";

/** @template T @param {import("./signal.js").Signal<T>} source @returns {T} */
export function useSignal(source) {
  const [, redraw] = useState(0);
  const drawn = source.value;
  useEffect(() => {
    const again = () => redraw((n) => n + 1);
    if (!Object.is(source.value, drawn)) again(); // effects run after the paint, and it changed before
    return source.subscribe(again);
  }, [source]);
  return drawn;
}

const second = signal(Date.now());
if (typeof document !== "undefined") {
  setInterval(() => {
    if (!document.hidden) second.value = Date.now();
  }, 1000);
}

/** Epoch milliseconds, moving once a second: every age on the page moves together. */
export function useNow() {
  return useSignal(second);
}

const REMEMBERED = 40;
const memory = new Map();

function remember(key, state) {
  if (!key) return;
  memory.delete(key);
  memory.set(key, state);
  if (memory.size > REMEMBERED) memory.delete(memory.keys().next().value);
}

const NOTHING = { data: null, error: null, loading: true, at: null };
const recall = (key) => ({ ...(memory.get(key) ?? NOTHING), loading: true });

/**
 * @template T
 * @typedef {Object} Resource
 * @property {T|null} data          the last good answer; kept when a later one fails
 * @property {Error|null} error     of the last attempt, null after a good one
 * @property {boolean} loading
 * @property {number|null} at       when `data` came, epoch milliseconds
 * @property {() => void} reload
 */

/**
 * Loads when `deps` change and whenever the stream says that something did. An answer that was
 * overtaken is dropped. Data stays while new deps load unless their `keep` name differs: then the last
 * answer under that name shows, so that going back to a page is instant.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {any[]} deps
 * @param {Object} [options]
 * @param {{on: (name: string, f: (data: any) => void) => () => void}} [options.stream]
 * @param {string[]} [options.on]           events that make the data stale; "sync" always does
 * @param {(data: any) => boolean} [options.when]   which of those events count
 * @param {number} [options.every]          also every so many milliseconds while visible
 * @param {string} [options.keep]           name of what is loaded, to remember it by
 * @returns {Resource<T>}
 */
export function useResource(load, deps, options = {}) {
  const { keep } = options;
  const [state, setState] = useState(() => ({ ...recall(keep), keep }));
  const loader = useRef(load);
  const running = useRef(null);
  loader.current = load;
  const filter = useRef(options.when);
  filter.current = options.when;
  const name = useRef(keep);
  name.current = keep;

  const reload = useCallback(() => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    const mine = name.current;
    setState((s) => ({ ...(s.keep === mine ? s : recall(mine)), keep: mine, loading: true }));
    loader.current(controller.signal).then((data) => {
      if (controller.signal.aborted) return;
      const next = { data, error: null, loading: false, at: Date.now(), keep: mine };
      remember(mine, next);
      setState(next);
    }, (error) => {
      if (!controller.signal.aborted) setState((s) => ({ ...s, error, loading: false }));
    });
  }, []);

  useEffect(() => {
    reload();
    return () => running.current?.abort();
  }, deps);

  useEffect(() => {
    if (!options.stream) return undefined;
    const soon = debounce(reload, 120);
    const off = ["sync", ...(options.on ?? [])].map((name) => options.stream.on(name, (data) => {
      if (name === "sync" || !filter.current || filter.current(data)) soon();
    }));
    return () => {
      soon.cancel();
      off.forEach((f) => f());
    };
  }, [options.stream]);

  useEffect(() => {
    if (!options.every) return undefined;
    const timer = setInterval(() => document.hidden || reload(), options.every);
    return () => clearInterval(timer);
  }, [options.every]);

  return state.keep === keep ? { ...state, reload } : { ...recall(keep), reload };
}

/**
 * `value`, but only after it stopped changing for `ms`.
 * @template T @param {T} value @param {number} ms @returns {T}
 */
export function useSettled(value, ms) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** Runs `f` once, `ms` after the last call. @param {() => void} f @param {number} ms */
export function debounce(f, ms) {
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(f, ms);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}
