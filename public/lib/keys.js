/** The keyboard: / searches, j and k walk the rows, Enter opens, Esc goes back, ? explains. */

/**
 * Pages mark up what the keys act on: `data-search` (a search box), `data-row` (a focusable row or
 * link), `data-back` (a link out of a detail). Keys with a modifier are the browser's.
 * @param {Document} doc
 * @param {{help: () => void}} actions
 * @returns {() => void} undo
 */
export function listenToKeys(doc, { help }) {
  const onKey = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (doc.querySelector("dialog[open]")) return;
    const typing = isTyping(event.target);
    if (event.key === "Escape") return void escape(doc, event, typing);
    if (typing) return;
    if (event.key === "/") {
      const box = doc.querySelector("[data-search]");
      if (!box) return;
      event.preventDefault();
      box.focus();
      box.select?.();
    } else if (event.key === "j" || event.key === "k") {
      event.preventDefault();
      walk(doc, event.key === "j" ? 1 : -1);
    } else if (event.key === "?") {
      event.preventDefault();
      help();
    }
  };
  doc.addEventListener("keydown", onKey);
  return () => doc.removeEventListener("keydown", onKey);
}

function walk(doc, step) {
  const rows = [...doc.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  if (rows.length === 0) return;
  const now = rows.indexOf(doc.activeElement);
  const next = now < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(now + step, 0), rows.length - 1);
  rows[next].focus({ preventScroll: true });
  rows[next].scrollIntoView({ block: "nearest" });
}

function escape(doc, event, typing) {
  if (typing) {
    const box = event.target;
    if (box.matches("[data-search]") && box.value) {
      box.value = "";
      box.dispatchEvent(new Event("input", { bubbles: true }));
    }
    box.blur();
    return;
  }
  const back = doc.querySelector("[data-back]");
  if (back) {
    event.preventDefault();
    back.click();
  } else if (doc.activeElement?.matches("[data-row]")) {
    doc.activeElement.blur();
  }
}

function isTyping(target) {
  return target instanceof Element && target.matches("input, textarea, select, [contenteditable]");
}
