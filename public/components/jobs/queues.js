/** Queues: how long the oldest waits, what goes through, pause and limits. */
import { html, useState } from "../../lib/html.js";
import { useResource } from "../../lib/hooks.js";
import { count, duration } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { href } from "../../lib/route.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Num, Pill } from "../bits.js";
import { Limits, limitsOf } from "./limits.js";
import { Rates, rate } from "./rates.js";

const EVERY = 2000;
const LATE_S = 300; /* the oldest waits too long; etc/prometheus alarms at the same age */
const COUNTS = ["ready", "delayed", "running", "dead"];

/** @param {{ctx: import("../../app.js").PageContext, may: boolean, id: string|undefined}} props   id: the queue that is shown */
export function Queues({ ctx, may, id = "" }) {
  const queues = useResource((signal) => ctx.api.get("/admin/v1/queues", null, signal), [], { stream: ctx.stream, every: EVERY, keep: "queues" });
  const [said, setSaid] = useState(null);
  const act = async (queue, verb, body) => {
    try {
      await ctx.api.post(`/admin/v1/queues/${encodeURIComponent(queue)}/${verb}`, body);
      setSaid(null);
    } catch (error) {
      setSaid({ queue, text: error.message });
    }
    queues.reload();
  };
  const list = queues.data ?? [];
  const known = !id || list.length === 0 || list.some((q) => q.queue === id);
  if (!queues.data && queues.error) return html`<${Failure} error=${queues.error} retry=${queues.reload} />`;
  return html`
    <${Sums} queues=${list} />
    ${known ? html`<${Rates} ctx=${ctx} queue=${id} />` : html`<${Note} title=${t("jobs.no_queue", { queue: id })} />`}
    <section class="section" aria-labelledby="queues-title">
      <div class="section-head"><h2 id="queues-title">${t("ops.queues")}</h2>
        ${id && html`<a class="button button-small" href="#/operations/queues">${t("jobs.all_queues")}</a>`}</div>
      ${queues.data?.length === 0 ? html`<${Note} title=${t("jobs.no_queues")} />` : html`
      <table class="data data-queues" aria-busy=${!queues.data}>
        <thead><tr><th scope="col">${t("ops.queue")}</th><th scope="col" class="c-number">${t("jobs.oldest")}</th>
          ${COUNTS.map((name) => html`<th key=${name} scope="col" class="c-number">${t(`jobs.figure.${name}`)}</th>`)}
          <th scope="col" class="c-number">${t("jobs.done_rate")}</th><th scope="col" class="c-number">${t("jobs.failed_rate")}</th>
          ${may && html`<th class="c-act"><span class="hidden">${t("jobs.actions")}</span></th>`}</tr></thead>
        <tbody>${list.map((q) => html`<${Row} key=${q.queue} queue=${q} chosen=${q.queue === id} may=${may} act=${act} said=${said?.queue === q.queue ? said.text : ""} />`)}</tbody>
      </table>`}
    </section>`;
}

function Sums({ queues }) {
  const language = lang.value;
  const sum = (f) => queues.reduce((n, q) => n + (f(q) ?? 0), 0);
  const oldest = queues.filter((q) => !q.paused && q.ready > (q.held ?? 0)).reduce((n, q) => Math.max(n, q.oldest_s ?? 0), 0);
  const figures = [["oldest", duration(oldest, language), oldest >= LATE_S], ["ready", count(sum((q) => q.ready), language)], ["running", count(sum((q) => q.running), language)],
    ["delayed", count(sum((q) => q.delayed), language)], ["dead", count(sum((q) => q.dead), language), sum((q) => q.dead) > 0], ["done_rate", `${rate(sum((q) => q.per_second?.done))}/s`]];
  return html`<dl class="figures jobs-figures">${figures.map(([name, text, bad]) => html`
    <div key=${name} class=${`figure figure-${name}`}><dt>${t(`jobs.figure.${name}`)}</dt><dd class=${bad ? "bad-text" : ""}>${text}</dd><small>${t(`jobs.figure.${name}_note`)}</small></div>`)}</dl>`;
}

function Row({ queue: q, chosen, may, act, said }) {
  const language = lang.value;
  const [editing, setEditing] = useState(false);
  const limits = limitsOf(q);
  const save = async (values) => {
    await act(q.queue, "limits", values);
    setEditing(false);
  };
  return html`
    <tr key=${q.queue} class=${chosen ? "row-chosen" : ""} data-queue=${q.queue}>
      <td class="c-plugin"><a class="row-name" href=${`#/operations/queues/${encodeURIComponent(q.queue)}`} aria-current=${chosen ? "true" : null} data-row>${q.queue}</a>
        ${q.paused && html` <${Pill} kind="warn">${t("ops.paused")}</${Pill}>`}
        ${q.held > 0 && html` <${Pill} kind="warn" title=${t("jobs.held_text")}>${t("jobs.held", { n: count(q.held, language) })}${q.held_s > 0 ? ` · ${duration(q.held_s, language)}` : ""}</${Pill}>`}
        ${limits.length > 0 && html`<span class="queue-limits muted">${limits.join(" · ")}</span>`}</td>
      <td class=${`c-number c-oldest${q.oldest_s >= LATE_S && !q.paused ? " bad-text" : ""}`} data-label=${t("jobs.oldest")}>${q.ready > 0 ? duration(q.oldest_s, language) : html`<span class="muted">–</span>`}</td>
      ${COUNTS.map((name) => html`<td key=${name} data-label=${t(`jobs.figure.${name}`)} class=${`c-number${name === "dead" && q.dead > 0 ? " bad-text" : ""}`}>
        <a class="quiet" href=${href("/operations/jobs", { q: `queue:${q.queue} state:${name}` })}><${Num} value=${q[name]} text=${count(q[name], language)} /></a></td>`)}
      <td class="c-number" data-label=${t("jobs.done_rate")}>${rate(q.per_second?.done)}</td>
      <td class=${`c-number${q.per_second?.failed > 0 ? " bad-text" : ""}`} data-label=${t("jobs.failed_rate")}>${rate(q.per_second?.failed)}</td>
      ${may && html`<td class="c-act">
        ${"weight" in q && html`<button class="button button-small" aria-expanded=${editing} onClick=${() => setEditing(!editing)} data-limits>${t("jobs.limits")}</button>`}
        ${"weight" in q && html`<button class="button button-small" onClick=${() => act(q.queue, q.paused ? "resume" : "pause")} data-pause>${t(q.paused ? "jobs.resume" : "jobs.pause")}</button>`}</td>`}
    </tr>
    ${said && html`<tr class="row-error"><td colspan="9" role="alert">${said}</td></tr>`}
    ${editing && html`<tr class="row-details"><td colspan="9"><${Limits} queue=${q} save=${save} close=${() => setEditing(false)} /></td></tr>`}`;
}
