/** Workers: the lanes of every node, and what each runs now since when. */
import { html, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { count, moment, percent, since } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { jobHref } from "../../lib/route.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Pill } from "../bits.js";

const EVERY = 1500;

/** @param {{ctx: import("../../app.js").PageContext, may: boolean}} props */
export function Workers({ ctx, may }) {
  const workers = useResource((signal) => ctx.api.get("/admin/v1/workers", null, signal), [], { stream: ctx.stream, every: EVERY, keep: "workers" });
  const [said, setSaid] = useState("");
  const cancel = async (id) => {
    try {
      await ctx.api.post(`/admin/v1/jobs/${id}/cancel`);
      setSaid(t("jobs.cancel_asked", { id }));
    } catch (error) {
      setSaid(error.message);
    }
    workers.reload();
  };
  if (!workers.data && workers.error) return html`<${Failure} error=${workers.error} retry=${workers.reload} />`;
  const nodes = new Map();
  for (const lane of workers.data ?? []) nodes.set(lane.node, [...(nodes.get(lane.node) ?? []), lane]);
  return html`
    <p class="muted workers-said" role="status">${said}</p>
    ${workers.data?.length === 0 && html`<${Note} title=${t("jobs.no_workers")}><p class="muted">${t("jobs.no_workers_text")}</p></${Note}>`}
    ${[...nodes].map(([node, lanes]) => html`<${Node} key=${node} node=${node} lanes=${lanes} may=${may} cancel=${cancel} />`)}`;
}

function Node({ node, lanes, may, cancel }) {
  const language = lang.value;
  const used = lanes.reduce((n, lane) => n + lane.used, 0);
  const capacity = lanes.reduce((n, lane) => n + lane.capacity, 0);
  return html`
    <section class="section" aria-label=${node} data-node=${node}>
      <div class="section-head"><h2>${node}</h2>
        <span class="muted">${t("jobs.node_used", { lanes: lanes.length, used: count(used, language), capacity: count(capacity, language), share: percent(capacity ? used / capacity : 0, language) })}</span></div>
      <div class="lanes">${lanes.map((lane) => html`<${Lane} key=${lane.lane} lane=${lane} may=${may} cancel=${cancel} />`)}</div>
    </section>`;
}

function Lane({ lane, may, cancel }) {
  const language = lang.value;
  const now = useNow();
  return html`
    <div class="lane" data-lane=${lane.lane}>
      <div class="lane-head"><h3>${lane.lane}</h3>${lane.lost && html`<${Pill} kind="bad">${t("jobs.lost")}</${Pill}>`}
        <span class="muted">${count(lane.used, language)} / ${count(lane.capacity, language)}</span></div>
      <div class="meter" aria-hidden="true"><i style=${`width:${Math.min(100, (100 * lane.used) / Math.max(1, lane.capacity))}%`}></i></div>
      ${lane.running.length === 0 ? html`<p class="muted lane-idle">${t("jobs.lane_idle")}</p>` : html`
      <ul class="lane-runs">${lane.running.map((run) => html`
        <li key=${run.id}><a class="row-name" href=${jobHref(run.id)} data-row>${run.kind}</a> <span class="muted">${run.id} · ${run.queue}${run.attempt > 1 ? ` · ${t("jobs.attempt_n", { n: run.attempt })}` : ""}</span>
          <span class="lane-since" title=${moment(run.started_at, language)}>${since(run.started_at, now, language)}</span>
          ${may && html`<button class="button button-small" onClick=${() => cancel(run.id)}>${t("ops.cancel")}</button>`}
          ${run.progress !== null && run.progress !== undefined && html`<${Progress} progress=${run.progress} message=${run.message} />`}</li>`)}
        ${lane.used > lane.running.length && html`<li class="muted">${t("jobs.more_running", { n: count(lane.used - lane.running.length, language) })}</li>`}</ul>`}
    </div>`;
}

/** How far a job says it is. progress: a share of 1, or {fraction, message}. */
export function Progress({ progress, message }) {
  const share = typeof progress === "number" ? progress : progress.fraction;
  const text = message ?? progress.message ?? "";
  return html`<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share * 100)}>
    <div class="meter"><i style=${`width:${Math.round(share * 1000) / 10}%`}></i></div><span class="muted">${percent(share, lang.value)} ${text}</span></div>`;
}
