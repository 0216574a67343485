/** A queue's limits: what the plugin declares, and what an operator puts in its place. */
import { html, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";

const FIELDS = ["concurrency", "rate", "weight", "key_concurrency", "key_rate"];
const NUMBERS = ["concurrency", "weight", "key_concurrency"];

const isSet = (value) => value !== null && value !== undefined && value !== 0 && value !== "";

/** What limits a queue, in a few words. @returns {string[]} */
export function limitsOf(queue) {
  return FIELDS.filter((name) => isSet(queue[name]) && !(name === "weight" && queue.weight === 1))
    .map((name) => t(`jobs.limit_short.${name}`, { n: queue[name] }));
}

/** An empty field goes back to what is declared. */
export function Limits({ queue, save, close }) {
  const declared = queue.declared ?? {};
  const changed = (name) => isSet(queue[name]) && String(queue[name]) !== String(declared[name] ?? (name === "weight" ? 1 : ""));
  const [values, setValues] = useState(() => Object.fromEntries(FIELDS.map((name) => [name, changed(name) ? String(queue[name]) : ""])));
  const submit = (event) => {
    event.preventDefault();
    save(Object.fromEntries(FIELDS.map((name) => [name, values[name] === "" ? null : NUMBERS.includes(name) ? Number(values[name]) : values[name]])));
  };
  return html`
    <form class="limits" onSubmit=${submit} data-limits-form>
      ${FIELDS.map((name) => html`
        <label key=${name}><span>${t(`jobs.limit.${name}`)}</span>
          <input class="field" name=${name} value=${values[name]} onInput=${(e) => setValues({ ...values, [name]: e.target.value.trim() })}
            inputmode=${NUMBERS.includes(name) ? "numeric" : "text"} pattern=${NUMBERS.includes(name) ? "[0-9]*" : "[0-9]+/[smh]"} placeholder=${isSet(declared[name]) ? String(declared[name]) : name === "weight" ? "1" : t("jobs.no_limit")} />
          <small>${t(`jobs.limit_help.${name}`)}</small></label>`)}
      <p class="limits-note muted">${t("jobs.limits_note")}</p>
      <div class="limits-act"><button type="button" class="button" onClick=${close}>${t("jobs.back")}</button> <button class="button button-main">${t("jobs.save")}</button></div>
    </form>`;
}
