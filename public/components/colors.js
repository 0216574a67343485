/** Colours for a canvas: a custom property resolved for the theme that shows. */

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
