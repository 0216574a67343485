/** A JSON Schema as a list of fields, nested as it is. */
import { html } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { isNullable, limitsOf, membersOf, typeName, typeOf } from "../../lib/openapi.js";

const DEPTH = 8;

/** <${Schema} schema=${schema} /> */
export function Schema({ schema }) {
  const inner = innerOf(schema);
  return html`<div class="schema">
    ${!schema.properties && html`<div class="schema-root"><${Type} schema=${schema} required /><${Limits} schema=${schema} /></div>`}
    ${inner && html`<${Members} schema=${inner} depth=${0} />`}
  </div>`;
}

/** The object whose members are worth showing: the schema's own, its items' or its entries'. */
function innerOf(schema) {
  if (schema.properties) return schema;
  if (schema.items) return innerOf(schema.items);
  if (schema.anyOf) return schema.anyOf.map(innerOf).find(Boolean) ?? null;
  return typeof schema.additionalProperties === "object" ? innerOf(schema.additionalProperties) : null;
}

function Members({ schema, depth }) {
  return html`<ul class="members">
    ${membersOf(schema).map(([name, field, required]) => {
      const inner = depth < DEPTH && innerOf(field);
      return html`<li key=${name}>
        <div class="member"><code class="member-name">${name}</code><${Type} schema=${field} required=${required} /><${Limits} schema=${field} />
          ${required && html`<span class="must">${t("ref.required")}</span>`}
          ${field.deprecated && html`<span class="old">${t("ref.deprecated")}</span>`}</div>
        ${field.description && html`<p class="member-help">${field.description}</p>`}
        ${inner && html`<${Members} schema=${inner} depth=${depth + 1} />`}
      </li>`;
    })}</ul>`;
}

/** The type. That a field may be null says something only where it must be given: else null is no value. */
export function Type({ schema, required }) {
  return html`<span class="type">${typeName(schema)}${required && isNullable(schema) && html`<span class="type-null"> | null</span>`}</span>`;
}

/** What narrows it, and its default. <${Limits} schema=${schema} words=${false} /> leaves the words of an enum out. */
export function Limits({ schema, words = true }) {
  const word = (unit) => t(`ref.unit.${unit}`);
  const inner = typeOf(schema) === "array" && schema.items ? limitsOf(schema.items, word) : [];
  const own = limitsOf(words ? schema : { ...schema, enum: undefined }, word);
  return html`${[...own, ...inner].map((limit) => html`<span class="limit" key=${limit}>${limit}</span>`)}
    ${schema.default !== undefined && html`<span class="limit">= ${JSON.stringify(schema.default)}</span>`}`;
}
