/** Schedules: pattern, zone, last and next run, and one by hand. */
import { html, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { ago, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Pill } from "../bits.js";

/** @param {{ctx: import("../../app.js").PageContext, every: number}} props */
export function Schedules({ ctx, every }) {
  const schedules = useResource((signal) => ctx.api.get("/admin/v1/schedules", null, signal), [], { stream: ctx.stream, every, keep: "ops schedules" });
  const [said, setSaid] = useState({});
  const run = async (s) => {
    const key = `${s.plugin}/${s.id}`;
    try {
      await ctx.api.post(`/admin/v1/schedules/${encodeURIComponent(s.plugin)}/${encodeURIComponent(s.id)}/run`);
      setSaid({ key, text: t("ops.ran") });
    } catch (error) {
      setSaid({ key, text: error.message, bad: true });
    }
    schedules.reload();
  };
  return html`
    <section class="section" aria-labelledby="ops-schedules">
      <div class="section-head"><h2 id="ops-schedules">${t("ops.schedules")}</h2></div>
      ${!schedules.data && schedules.error ? html`<${Failure} error=${schedules.error} retry=${schedules.reload} />` : html`
      <table class="data data-schedules">
        <thead><tr>${["schedule", "pattern", "next", "last"].map((name) => html`<th key=${name} scope="col">${t(`ops.${name}`)}</th>`)}<th class="c-act"></th></tr></thead>
        <tbody>${(schedules.data ?? []).map((s) => html`<${Row} key=${`${s.plugin}/${s.id}`} schedule=${s} run=${run} said=${said.key === `${s.plugin}/${s.id}` ? said : null} />`)}</tbody>
      </table>`}
      ${schedules.data?.length === 0 && html`<${Note} title=${t("ops.nothing")} />`}
    </section>`;
}

function Row({ schedule: s, run, said }) {
  const language = lang.value;
  const now = useNow();
  return html`
    <tr data-schedule=${s.id}>
      <td class="c-plugin"><b>${s.id}</b> <span class="muted">${s.plugin}${s.job && s.job !== s.id ? ` → ${s.job}` : ""}</span></td>
      <td data-label=${t("ops.pattern")}><code>${s.pattern}</code> <span class="muted">${s.tz}</span></td>
      <td data-label=${t("ops.next")}>${s.enabled ? html`${ago(s.next_at, now, language)} <span class="muted">${moment(s.next_at, language)}</span>` : html`<${Pill} kind="idle">${t("ops.disabled")}</${Pill}>`}</td>
      <td data-label=${t("ops.last")} class="muted" title=${s.last_status ?? ""}>${s.last_at ? ago(s.last_at, now, language) : t("ops.never")}</td>
      <td class="c-act"><span class=${said?.bad ? "bad-text" : "muted"} role="status">${said?.text ?? ""}</span>
        <button class="button button-small" onClick=${() => run(s)} data-run=${s.id}>${t("ops.run")}</button></td>
    </tr>`;
}
