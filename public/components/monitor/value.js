/** A value as somebody kept it: JSON laid out, text as it is, bytes in hexadecimal with what can be read of them. */
import { html, useState } from "../../lib/html.js";
import { bytes } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";

const SHOWN = 100000; /* characters drawn; the clipboard gets all */

/** @param {{encoding: "text"|"json"|"hex", text: string, cut?: boolean, size?: number}} props */
export function Value({ encoding, text, cut, size }) {
  const [copied, setCopied] = useState(false);
  const shown = encoding === "hex" ? hexLines(text) : encoding === "json" || looksLikeJson(text) ? pretty(text) : text;
  const copy = () => navigator.clipboard?.writeText(encoding === "hex" ? text : shown).then(() => setCopied(true), () => {});
  return html`<div class="code-box" data-value=${encoding}><pre class=${`code${encoding === "hex" ? " code-hex" : ""}`} tabindex="0">${shown === "" ? html`<span class="muted">${t("monitor.empty")}</span>` : shown.slice(0, SHOWN)}</pre>
    <button class="button button-small" onClick=${copy}>${t(copied ? "ops.copied" : "ops.copy")}</button>
    ${(cut || shown.length > SHOWN) && html`<p class="muted" data-cut>${t("monitor.cut", { size: bytes(size, lang.value) })}</p>`}</div>`;
}

const looksLikeJson = (text) => /^\s*[[{]/.test(text);

/** JSON with its members below each other, whatever its numbers are; other text as it came. @param {string} text */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let out = "";
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g)) {
    const line = `\n${"  ".repeat(Math.max(0, depth - 1))}`;
    if (token === "{" || token === "[") {
      depth++;
      out += token;
      out += `\n${"  ".repeat(depth)}`;
    } else if (token === "}" || token === "]") {
      depth--;
      out = /[[{]\n *$/.test(out) ? out.trimEnd() + token : out + line + token;
    } else if (token === ",") {
      out += `,\n${"  ".repeat(depth)}`;
    } else {
      out += token === ":" ? ": " : token;
    }
  }
  return out;
}

/** Sixteen bytes a line: their place, their digits, what is a letter. @param {string} hex */
export function hexLines(hex) {
  const lines = [];
  for (let at = 0; at < hex.length; at += 32) {
    const pairs = hex.slice(at, at + 32).match(/../g) ?? [];
    const letters = pairs.map((pair) => {
      const code = parseInt(pair, 16);
      return code >= 32 && code < 127 ? String.fromCharCode(code) : "·";
    });
    lines.push(`${(at / 2).toString(16).padStart(6, "0")}  ${pairs.join(" ").padEnd(47)}  ${letters.join("")}`);
  }
  return lines.join("\n");
}
