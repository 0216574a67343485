/** Colours for a canvas: a custom property resolved for the theme that shows. */
import { useEffect, useState } from "../lib/html.js";
import { useSignal } from "../lib/hooks.js";
import { showsDark, theme } from "../lib/settings.js";

/** Another value whenever the colours of a canvas are others: by choice, or as the system's preference changes. */
export function useColours() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const onChange = () => redraw((n) => n + 1);
    query.addEventListener("change", onChange);
    return () => query.removeEventListener("change", onChange);
  }, []);
  useSignal(theme);
  return showsDark() ? "dark" : "light";
}

let probe = null;

/** @param {string} property e.g. "--wood" @returns {string} an rgb() text */
export function cssColor(property) {
  if (!probe) {
    probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${property})`;
  return getComputedStyle(probe).color;
}
