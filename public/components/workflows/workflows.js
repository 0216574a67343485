/** Runs of workflows, newest first; what waits for somebody stands out. */
import { html, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { ago, duration } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Pill } from "../bits.js";
import { KINDS } from "./run.js";

const EVERY = 2000;
const STATES = ["", "running", "waiting", "failed", "done", "cancelled"];

/** @param {{ctx: import("../../app.js").PageContext}} props */
export function Workflows({ ctx }) {
  const now = useNow();
  const [state, setState] = useState("");
  const [pages, setPages] = useState(1);
  const limit = 50 * pages;
  const runs = useResource((signal) => ctx.api.get("/admin/v1/workflows", { state, limit }, signal), [state, limit], { stream: ctx.stream, every: EVERY, keep: `workflows ${state}` });
  const list = runs.data?.workflows ?? [];
  if (!runs.data && runs.error) return html`<${Failure} error=${runs.error} retry=${runs.reload} />`;
  return html`
    <section class="section workflows" aria-labelledby="flow-title">
      <div class="section-head"><h2 id="flow-title">${t("flow.title")}</h2></div>
      <div class="states" role="group" aria-label=${t("flow.state")}>${STATES.map((name) => html`
        <button key=${name} class="state" aria-pressed=${state === name} onClick=${() => setState(name)} data-filter=${name || "all"}>${t(name ? `flow.state.${name}` : "jobs.all")}</button>`)}</div>
      ${runs.data && list.length === 0 ? html`<${Note} title=${t(state ? "flow.none_here" : "flow.none")}><p class="muted">${t("flow.none_text")}</p></${Note}>` : html`
      <table class="data data-workflows" aria-busy=${!runs.data}>
        <thead><tr><th scope="col">${t("flow.run")}</th><th scope="col">${t("flow.state")}</th><th scope="col">${t("flow.at")}</th>
          <th scope="col" class="c-number">${t("flow.steps")}</th><th scope="col" class="c-number">${t("flow.took")}</th><th scope="col" class="c-number">${t("flow.began")}</th></tr></thead>
        <tbody>${list.map((r) => html`<${Row} key=${r.id} run=${r} now=${now} />`)}</tbody>
      </table>
      ${list.length === limit && limit < 500 && html`<button class="button" onClick=${() => setPages(pages + 1)}>${t("flow.more")}</button>`}`}
    </section>`;
}

function Row({ run: r, now }) {
  const language = lang.value;
  const lasted = (r.finished_at ? Date.parse(r.finished_at) : now) - Date.parse(r.created_at);
  return html`
    <tr data-run-row=${r.id} data-state=${r.state}>
      <td class="c-plugin"><a class="row-name" href=${`#/operations/workflows/${r.id}`}>${r.name || t(`flow.shape.${r.shape}`)}</a> <span class="muted">${r.plugin} · ${r.id}${r.key ? ` · ${r.key}` : ""}</span>
        ${r.error && html`<span class="clip bad-text flow-error" title=${r.error}>${r.error}</span>`}</td>
      <td data-label=${t("flow.state")}><${Pill} kind=${KINDS[r.state]}>${t(`flow.state.${r.state}`)}</${Pill}></td>
      <td data-label=${t("flow.at")}><span class="clip">${r.at ?? html`<span class="muted">–</span>`}</span></td>
      <td class="c-number" data-label=${t("flow.steps")}>${r.steps_total}</td>
      <td class="c-number" data-label=${t("flow.took")}>${duration(lasted / 1000, language)}</td>
      <td class="c-number" data-label=${t("flow.began")}><time datetime=${r.created_at} title=${r.created_at}>${ago(r.created_at, now, language)}</time></td>
    </tr>`;
}
