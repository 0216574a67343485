/** What a run waits for, and the buttons with which a person answers. */
import { html, useState } from "../../lib/html.js";
import { ago, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";

/** @param {{step: any, may: boolean, now: number, tell: (data: any) => Promise<void>}} props */
export function Answer({ step, may, now, tell }) {
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState("");
  const answer = (approved) => {
    let data = { approved };
    if (text.trim()) {
      try {
        const more = JSON.parse(text);
        data = more !== null && typeof more === "object" && !Array.isArray(more) ? { approved, ...more } : more;
      } catch {
        data = { approved, note: text };
      }
    }
    setWrong("");
    tell(data).catch((error) => setWrong(error.message));
  };
  return html`
    <section class="answer" aria-labelledby=${`answer-${step.n}`} data-answer=${step.waits_for}>
      <h3 id=${`answer-${step.n}`}>${t("flow.waits", { step: step.name, name: step.waits_for })}</h3>
      <p class="muted">${t("flow.since", { when: ago(step.ended_at, now, lang.value) })}${step.due_at ? ` · ${t("flow.until", { when: moment(step.due_at, lang.value), step: step.otherwise ?? "–" })}` : ""}</p>
      ${may && html`<div class="answer-act">
        <input class="field" value=${text} onInput=${(event) => setText(event.target.value)} placeholder=${t("flow.note")} aria-label=${t("flow.note")} />
        <button class="button button-main" onClick=${() => answer(true)} data-approve>${t("flow.approve")}</button>
        <button class="button" onClick=${() => answer(false)} data-decline>${t("flow.decline")}</button></div>`}
      <p class="bad-text" role="status">${wrong}</p>
    </section>`;
}
