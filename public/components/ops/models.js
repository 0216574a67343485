/** What language models have cost today, by plugin and provider; nothing where none was asked. */
import { html } from "../../lib/html.js";
import { useResource } from "../../lib/hooks.js";
import { count, money } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";

/** @param {{ctx: import("../../app.js").PageContext, every: number}} props */
export function Models({ ctx, every }) {
  const language = lang.value;
  const found = useResource((signal) => ctx.api.get("/admin/v1/model", null, signal), [], { stream: ctx.stream, every, keep: "ops model" });
  const rows = [...(found.data?.today ?? [])].sort((a, b) => b.cost - a.cost || `${a.plugin} ${a.provider}`.localeCompare(`${b.plugin} ${b.provider}`));
  if (rows.length === 0) return null;
  const { currency } = found.data;
  const sum = rows.reduce((all, row) => all + row.cost, 0);
  return html`
    <section class="section" aria-labelledby="ops-models">
      <div class="section-head"><h2 id="ops-models">${t("models.title")}</h2><span class="muted">${t("models.today", { cost: money(sum, currency, language) })}</span></div>
      <table class="data data-models"><thead><tr>
        <th scope="col">${t("ops.plugin")}</th><th scope="col">${t("models.provider")}</th><th scope="col" class="c-number">${t("models.requests")}</th>
        <th scope="col" class="c-number">${t("models.failures")}</th><th scope="col" class="c-number">${t("models.tokens")}</th><th scope="col" class="c-number">${t("models.cost")}</th></tr></thead>
        <tbody>${rows.map((row) => html`
          <tr key=${`${row.plugin} ${row.provider}`} data-model=${row.provider}>
            <td class="c-plugin"><b>${row.plugin}</b></td>
            <td data-label=${t("models.provider")}>${["rules", "cache"].includes(row.provider) ? t(`models.${row.provider}`) : row.provider}</td>
            <td class="c-number" data-label=${t("models.requests")}>${count(row.requests, language)}</td>
            <td class="c-number" data-label=${t("models.failures")}><span class=${row.failures > 0 ? "bad-text" : ""}>${count(row.failures, language)}</span></td>
            <td class="c-number" data-label=${t("models.tokens")}>${count(row.tokens_in + row.tokens_out, language)}</td>
            <td class="c-number" data-label=${t("models.cost")}>${money(row.cost, currency, language)}${row.budget > 0 && html` <span class="muted">/ ${money(row.budget, currency, language)}</span>`}</td>
          </tr>`)}</tbody></table>
    </section>`;
}
