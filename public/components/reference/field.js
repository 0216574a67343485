/** One field of a request to fill in, with what is wrong with it beneath. */
import { html } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { isPlain, keyOf, typeOf } from "../../lib/openapi.js";
import { Limits, Type } from "./schema.js";

/**
 * <${Field} field=${field} text="…" errors=${["…"]} onText=${f} />
 * @param {{field: import("../../lib/openapi.js").FormField, text: string, errors?: string[], onText: (text: string) => void}} props
 */
export function Field({ field, text, errors, onText }) {
  const id = `ref-${keyOf(field)}`;
  const bad = Boolean(errors?.length);
  const shared = { id, "data-field": keyOf(field), "aria-invalid": bad ? "true" : null, "aria-describedby": bad ? `${id}-error` : null };
  return html`
    <div class=${`ref-field${bad ? " ref-field-bad" : ""}${isPlain(field.schema) ? "" : " ref-field-wide"}`}>
      <label for=${id}><code>${field.name}</code>${field.required && html`<span class="must" title=${t("ref.required")}>*</span>`}<${Type} schema=${field.schema} required=${field.required} /></label>
      <${Input} field=${field} text=${text} onText=${onText} shared=${shared} />
      <p class="ref-hint">${field.description && html`<span>${field.description}</span>`}<${Limits} schema=${field.schema} words=${false} /></p>
      ${bad && html`<ul class="ref-error" id=${`${id}-error`} role="alert" data-field-error=${keyOf(field)}>${errors.map((error) => html`<li key=${error}>${error}</li>`)}</ul>`}
    </div>`;
}

function Input({ field, text, onText, shared }) {
  const { schema } = field;
  const type = typeOf(schema);
  const inAddress = field.part !== "body";
  const words = schema.enum?.filter((word) => word !== null) ?? (type === "boolean" ? [true, false] : null);
  if (words) {
    return html`<select class="field" ...${shared} value=${text} onChange=${(event) => onText(event.target.value)}>
      ${(!field.required || text === "") && html`<option value="">–</option>`}
      ${words.map((word) => html`<option key=${word} value=${String(word)}>${String(word)}</option>`)}
    </select>`;
  }
  if (isPlain(schema) || inAddress) {
    const hint = schema.default !== undefined ? String(schema.default) : inAddress && type === "array" ? "a,b" : "";
    return html`<input class="field" ...${shared} value=${text} placeholder=${hint} autocomplete="off" spellcheck=${false}
      inputmode=${type === "integer" || type === "number" ? "decimal" : null} onInput=${(event) => onText(event.target.value)} />`;
  }
  return html`<textarea class="field ref-json" ...${shared} value=${text} rows=${Math.min(12, Math.max(2, text.split("\n").length))} spellcheck=${false}
    onInput=${(event) => onText(event.target.value)}></textarea>`;
}
