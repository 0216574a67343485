/** Who changed what by hand. */
import { html } from "../../lib/html.js";
import { useResource } from "../../lib/hooks.js";
import { moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";

/** @param {{ctx: import("../../app.js").PageContext, every: number}} props */
export function Audit({ ctx, every }) {
  const audit = useResource((signal) => ctx.api.get("/admin/v1/audit", { limit: 20 }, signal), [], { stream: ctx.stream, every, keep: "ops audit" });
  const entries = audit.data?.entries ?? [];
  return html`
    <section class="section" aria-labelledby="ops-audit">
      <div class="section-head"><h2 id="ops-audit">${t("ops.audit")}</h2></div>
      ${entries.length === 0 ? html`<p class="muted">${audit.error ? audit.error.message : audit.data ? t("ops.no_audit") : "…"}</p>` : html`
      <table class="data data-audit"><tbody>${entries.map((e) => html`
        <tr><td class="muted">${moment(e.at, lang.value)}</td><td class="c-plugin"><b>${e.action}</b> ${e.target}</td><td>${e.who}</td><td class=${e.result === "ok" ? "muted" : "bad-text"}>${e.result}</td></tr>`)}
      </tbody></table>`}
    </section>`;
}
