/** Going back finds the page where it was left: hash routes load later than the browser restores. */

const LONGEST_WAIT_MS = 1500;
let moved = false;

/** Whether there is a page of ours to go back to. */
export function cameFromInside() {
  return moved;
}

/**
 * Each history entry is numbered; leaving one remembers its scroll, returning to one waits until
 * the page is tall enough again. A new entry starts at the top.
 */
export function keepScroll() {
  history.scrollRestoration = "manual";
  const places = new Map();
  let counter = Date.now();
  let entry = number();

  function number() {
    if (!history.state?.entry) history.replaceState({ entry: ++counter }, "");
    return history.state.entry;
  }

  addEventListener("scroll", () => places.set(entry, scrollY), { passive: true });
  addEventListener("hashchange", () => {
    const known = history.state?.entry;
    entry = number();
    moved = true;
    restore(known ? places.get(known) ?? 0 : 0, performance.now() + LONGEST_WAIT_MS, entry);
  });

  function restore(y, until, mine) {
    if (mine !== entry) return;
    scrollTo(0, y);
    if (scrollY < y - 1 && performance.now() < until) requestAnimationFrame(() => restore(y, until, mine));
  }
}
