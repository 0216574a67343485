/** Queues in numbers, and the jobs in one state with retry and cancel. */
import { html, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { ago, count, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";
import { Choice, Failure, Num, Pill } from "../bits.js";

const STATES = ["running", "ready", "delayed", "dead", "done"];
const COUNTS = [["ready"], ["delayed"], ["running"], ["dead"], ["done", "done_total"], ["failed", "failed_total"]];

/** @param {{ctx: import("../../app.js").PageContext, every: number}} props */
export function Jobs({ ctx, every }) {
  const [queue, setQueue] = useState("");
  return html`
    <div class="ops-pair">
      <${Queues} ctx=${ctx} every=${every} queue=${queue} choose=${setQueue} />
      <${List} ctx=${ctx} every=${every} queue=${queue} clear=${() => setQueue("")} />
    </div>`;
}

function Queues({ ctx, every, queue, choose }) {
  const queues = useResource((signal) => ctx.api.get("/admin/v1/queues", null, signal), [], { stream: ctx.stream, every, keep: "ops queues" });
  return html`
    <section class="section" aria-labelledby="ops-queues">
      <div class="section-head"><h2 id="ops-queues">${t("ops.queues")}</h2></div>
      ${!queues.data && queues.error ? html`<${Failure} error=${queues.error} retry=${queues.reload} />` : html`
      <table class="data data-queues">
        <thead><tr><th scope="col">${t("ops.queue")}</th>${COUNTS.map(([name]) => html`<th key=${name} scope="col" class="c-number">${t(`ops.${name}`)}</th>`)}</tr></thead>
        <tbody>${(queues.data ?? []).map((q) => html`
          <tr key=${q.queue} class=${queue === q.queue ? "row-chosen" : ""}>
            <td class="c-plugin"><button class="plain" aria-pressed=${queue === q.queue} onClick=${() => choose(queue === q.queue ? "" : q.queue)}>${q.queue}</button>
              ${q.paused && html` <${Pill} kind="warn">${t("ops.paused")}</${Pill}>`}</td>
            ${COUNTS.map(([name, key = name]) => html`<td key=${name} data-label=${t(`ops.${name}`)} class=${`c-number${name === "dead" && q[key] > 0 ? " bad-text" : ""}`}><${Num} value=${q[key]} text=${count(q[key], lang.value)} /></td>`)}
          </tr>`)}</tbody>
      </table>`}
    </section>`;
}

function List({ ctx, every, queue, clear }) {
  const [state, setState] = useState("running");
  const [said, setSaid] = useState("");
  const jobs = useResource((signal) => ctx.api.get("/admin/v1/jobs", { state, queue, limit: 20 }, signal), [state, queue],
    { stream: ctx.stream, every, keep: `ops jobs ${state} ${queue}` });
  const act = async (id, verb) => {
    try {
      await ctx.api.post(`/admin/v1/jobs/${id}/${verb}`);
      setSaid("");
    } catch (error) {
      setSaid(error.message);
    }
    jobs.reload();
  };
  const list = jobs.data?.jobs;
  return html`
    <section class="section" aria-labelledby="ops-jobs">
      <div class="section-head"><h2 id="ops-jobs">${t("ops.jobs")}</h2>
        ${queue && html`<button class="button button-small" onClick=${clear}>${queue} ✕</button>`}
        <${Choice} name="jobs-state" label=${t("ops.jobs_state")} value=${state} onChange=${setState} options=${STATES.map((s) => [s, t(`ops.${s}`)])} /></div>
      <p class="bad-text" role="status">${said}</p>
      ${!list && jobs.error ? html`<${Failure} error=${jobs.error} retry=${jobs.reload} />` : html`
      <div class="jobs" aria-busy=${!list}>
        ${list?.length === 0 && html`<p class="muted jobs-none">${t("ops.no_jobs")}</p>`}
        <table class="data data-jobs"><tbody>${(list ?? []).map((job) => html`<${Job} key=${job.id} job=${job} act=${act} />`)}</tbody></table>
      </div>`}
    </section>`;
}

function Job({ job, act }) {
  const language = lang.value;
  const now = useNow();
  const at = job.finished_at ?? job.started_at ?? job.run_at ?? job.created_at;
  const verb = job.state === "dead" ? "retry" : job.state === "ready" || job.state === "delayed" ? "cancel" : "";
  return html`
    <tr data-job=${job.id}>
      <td class="c-plugin"><b>${job.kind}</b> <span class="muted">${job.id} · ${job.queue}</span>
        <span class=${`job-line ${job.error ? "bad-text" : "muted"}`} title=${job.error ?? ""}>${job.error ?? JSON.stringify(job.args ?? {})}</span></td>
      <td class="c-number" title=${t("ops.attempt")}>${job.attempt}/${job.max_attempts}</td>
      <td class="c-when" title=${moment(at, language)}>${ago(at, now, language)}</td>
      <td class="c-act">${verb && html`<button class="button button-small" onClick=${() => act(job.id, verb)}>${t(`ops.${verb}`)}</button>`}</td>
    </tr>`;
}
