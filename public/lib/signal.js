/** A value with subscribers: the smallest state the pages share. */

/**
 * @template T
 * @typedef {Object} Signal
 * @property {T} value                 reading gives the value, writing tells the subscribers
 * @property {(f: (value: T) => void) => () => void} subscribe   returns its own undo
 */

/**
 * Subscribers run at once, in the order they came, and only when the value differs (Object.is).
 * @template T
 * @param {T} initial
 * @returns {Signal<T>}
 */
export function signal(initial) {
  const subscribers = new Set();
  let value = initial;
  return {
    get value() {
      return value;
    },
    set value(next) {
      if (Object.is(value, next)) return;
      value = next;
      for (const f of [...subscribers]) f(value);
    },
    subscribe(f) {
      subscribers.add(f);
      return () => subscribers.delete(f);
    },
  };
}
