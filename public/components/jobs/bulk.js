/** All jobs a search finds, changed at once: first counted, then confirmed. */
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { count } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { formatSearch } from "../../lib/jobs.js";
import { lang } from "../../lib/settings.js";
import { Choice } from "../bits.js";

/* What may be done to jobs in a state; in any state: everything. */
const ACTIONS = { dead: ["retry", "discard"], delayed: ["retry", "cancel", "discard"], ready: ["cancel", "discard"], running: ["cancel"], "": ["retry", "cancel", "discard"] };

/** @param {{ctx: any, filter: import("../../lib/jobs.js").JobFilter, close: () => void, done: (text: string) => void}} props */
export function Bulk({ ctx, filter, close, done }) {
  const actions = ACTIONS[filter.state] ?? [];
  const [action, setAction] = useState(actions[0] ?? "");
  const [dry, setDry] = useState({ action: "", matched: null, error: "" });
  const [busy, setBusy] = useState(false);
  const dialog = useRef(null);
  const ask = (really) => ctx.api.post("/admin/v1/jobs/bulk", { action, filter, dry: !really });
  useEffect(() => dialog.current.showModal(), []);
  useEffect(() => {
    let mine = true;
    setDry({ action, matched: null, error: "" });
    if (action) ask(false).then((answer) => mine && setDry({ action, matched: answer.matched, error: "" }), (error) => mine && setDry({ action, matched: null, error: error.message }));
    return () => { mine = false; };
  }, [action]);
  const run = async () => {
    setBusy(true);
    try {
      const answer = await ask(true);
      done(t(`jobs.bulk_did.${action}`, { n: count(answer.changed, lang.value) }));
      dialog.current.close();
    } catch (error) {
      setDry((d) => ({ ...d, error: error.message }));
      setBusy(false);
    }
  };
  return html`
    <dialog class="help bulk" ref=${dialog} onClose=${close} aria-labelledby="bulk-title" data-bulk-dialog>
      <h2 id="bulk-title">${t("jobs.bulk_title")}</h2>
      <p class="bulk-filter"><code>${formatSearch(filter)}</code></p>
      ${actions.length > 0 ? html`<${Choice} name="bulk-action" label=${t("jobs.bulk_title")} value=${action} onChange=${setAction} options=${actions.map((a) => [a, t(`jobs.action.${a}`)])} />
        <p class="muted">${t(`jobs.action_text.${action}`)}</p>` : html`<p>${t("jobs.bulk_nothing")}</p>`}
      <p class=${dry.error ? "bad-text" : ""} role="status" data-bulk-count>${dry.error || (dry.matched === null ? t("jobs.counting") : t("jobs.matched", { n: count(dry.matched, lang.value) }))}</p>
      <div class="bulk-act"><button class="button" onClick=${() => dialog.current.close()}>${t("jobs.back")}</button>
        <button class="button button-danger" disabled=${busy || !dry.matched} onClick=${run} data-bulk-run>${t(`jobs.bulk_run.${action || "retry"}`, { n: count(dry.matched ?? 0, lang.value) })}</button></div>
    </dialog>`;
}
