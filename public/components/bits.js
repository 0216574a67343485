/** Small things pages are made of: platform chips, status pills, numbers that flash, notes. */
import { html, useEffect, useRef } from "../lib/html.js";
import { platformName, t } from "../lib/i18n.js";
import { sparkPath } from "../lib/series.js";

/** <${Platform} name="chzzk" /> */
export function Platform({ name }) {
  return html`<span class=${`platform platform-${name}`}>${platformName(name)}</span>`;
}

/** <${Pill} kind="ok|warn|bad|idle">text</${Pill}> */
export function Pill({ kind, children, title }) {
  return html`<span class=${`pill pill-${kind}`} title=${title}>${children}</span>`;
}

/** The mark of a channel that is surging now. */
export function Surge() {
  return html`<span class="surge" data-surge title=${t("surge.help")}>
    <svg viewBox="0 0 10 10" width="9" height="9" aria-hidden="true"><path d="M5 0 9.6 5.2H6.7V10H3.3V5.2H.4z" fill="currentColor" /></svg>${t("surge")}</span>`;
}

/**
 * A number that lights up for a moment when its value changes. Only colour moves, never layout.
 * <${Num} value=${12} text="12" />
 */
export function Num({ value, text, className = "" }) {
  const place = useRef(null);
  const before = useRef(value);
  useEffect(() => {
    if (before.current !== value && before.current !== null && before.current !== undefined) {
      place.current?.animate?.([{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }], { duration: 1400, easing: "ease-out" });
    }
    before.current = value;
  }, [value]);
  return html`<span ref=${place} class=${`num ${className}`}>${text}</span>`;
}

/** A difference with its direction in sign, arrow and colour. */
export function Delta({ value, text }) {
  const way = value > 0 ? "up" : value < 0 ? "down" : "flat";
  return html`<span class=${`delta delta-${way}`}>${text}</span>`;
}

const WIDTH = 96;
const HEIGHT = 26;

/** The last counts as a line; decorative, the numbers stand beside it. */
export function Spark({ values, hot }) {
  const path = sparkPath(values ?? [], WIDTH - 4, HEIGHT - 6);
  return html`<svg class=${`spark${hot ? " spark-hot" : ""}`} viewBox=${`-2 -3 ${WIDTH} ${HEIGHT}`} width=${WIDTH} height=${HEIGHT} aria-hidden="true" preserveAspectRatio="none">
    ${path && html`<path class="spark-area" d=${`${path}L${WIDTH - 4} ${HEIGHT - 3}L0 ${HEIGHT - 3}Z`} /><path class="spark-line" d=${path} />`}
  </svg>`;
}

/** A calm box for the absence of something. <${Note} title="…" kind="bad">…</${Note}> */
export function Note({ title, kind = "idle", children }) {
  return html`<div class=${`note note-${kind}`} data-note><p class="note-title">${title}</p>${children}</div>`;
}

/** What went wrong with a request, in the reader's words and the server's. */
export function Failure({ error, retry }) {
  const title = error.unreachable ? t("error.unreachable") : t("error.answer", { status: error.status });
  return html`<${Note} kind="bad" title=${title}>
    <p class="mono">${error.message}</p>
    ${retry && html`<button class="button" onClick=${retry}>${t("error.retry")}</button>`}
  </${Note}>`;
}

/**
 * One of few, as a radio group with arrow keys from the browser.
 * <${Choice} name="platform" label="…" value="" options=${[["", "All"]]} onChange=${f} />
 */
export function Choice({ name, label, value, options, onChange }) {
  return html`
    <fieldset class="choice" aria-label=${label}>
      ${options.map(([key, text]) => html`
        <label key=${key}><input type="radio" name=${name} value=${key} checked=${key === value} onChange=${() => onChange(key)} /><span>${text}</span></label>`)}
    </fieldset>`;
}
