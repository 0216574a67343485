/** One job: what it was asked, how far it is, every attempt with its error, and why it does not run. */
import { html, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { ago, bytes, duration, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note } from "../bits.js";
import { linesOfJob } from "../monitor/logs.js";
import { State } from "./list.js";
import { Progress } from "./workers.js";
import { wait } from "./rates.js";

const EVERY = 1500;
const VERBS = { dead: ["retry", "discard"], delayed: ["retry", "cancel"], ready: ["cancel"], running: ["cancel"] };
const OVER = ["done", "cancelled", "expired"];

/** @param {{ctx: import("../../app.js").PageContext, may: boolean, id: string}} props */
export function Job({ ctx, may, id }) {
  const [over, setOver] = useState(false);
  const job = useResource((signal) => ctx.api.get(`/admin/v1/jobs/${id}`, null, signal).then((found) => {
    setOver(OVER.includes(found.state));
    return found;
  }), [id], { stream: ctx.stream, every: over ? 0 : EVERY, keep: `job ${id}` });
  const [said, setSaid] = useState(null);
  const act = async (verb) => {
    try {
      await ctx.api.post(`/admin/v1/jobs/${id}/${verb}`);
      setSaid({ text: t(`jobs.did.${verb}`, { id }) });
    } catch (error) {
      setSaid({ text: error.message, bad: true });
    }
    job.reload();
  };
  const back = html`<a class="job-back" href=${ctx.lastJobs ?? "#/operations/jobs"} data-back>← ${t("ops.jobs")}</a>`;
  if (job.error?.status === 404) return html`${back}<${Note} title=${t("jobs.gone", { id })}><p class="muted">${t("jobs.gone_text")}</p></${Note}>`;
  if (!job.data) return html`${back}${job.error ? html`<${Failure} error=${job.error} retry=${job.reload} />` : html`<p class="muted" aria-busy="true">…</p>`}`;
  const j = job.data;
  return html`
    ${back}
    <article class="job" data-job-page=${j.id} data-state=${j.state}>
      <header class="job-head"><h2>${j.kind}</h2> <span class="muted">${j.id}</span> <${State} state=${j.state} />
        ${may && html`<span class="job-buttons">${(VERBS[j.state] ?? []).map((verb) => html`<button key=${verb} class=${`button${verb === "retry" ? " button-main" : ""}`} onClick=${() => act(verb)} data-verb=${verb}>${t(j.state === "delayed" && verb === "retry" ? "jobs.run_now" : verb === "discard" ? "jobs.action.discard" : `ops.${verb}`)}</button>`)}</span>`}
        <span class=${`job-said ${said?.bad ? "bad-text" : "muted"}`} role="status">${said?.text ?? ""}</span></header>
      ${j.progress !== null && j.progress !== undefined && html`<${Progress} progress=${j.progress} message=${j.message} />`}
      <${Why} job=${j} />
      ${j.error && j.state !== "done" && html`<section class="job-part"><h3>${t("jobs.error")}</h3><pre class="code bad-text">${j.error}</pre></section>`}
      <div class="job-columns">
        <${Facts} job=${j} />
        <section class="job-part"><h3>${t("jobs.args")}</h3><${Json} value=${j.args} none=${OVER.includes(j.state) ? t("jobs.args_gone") : "null"} />
          ${j.result !== null && j.result !== undefined && html`<h3>${t("jobs.result")}</h3><${Json} value=${j.result} />`}</section>
      </div>
      <${Attempts} job=${j} />
    </article>`;
}

/** Why it is not running: what the queue says, as sentences. */
function Why({ job }) {
  const now = useNow();
  if (job.state !== "ready" && job.state !== "delayed") return null;
  const reasons = [...(job.why ?? [])];
  if (reasons.length === 0 && job.state === "delayed") reasons.push({ code: "not_due", until: job.run_at });
  if (reasons.length === 0) return null;
  return html`<section class="why" aria-labelledby="why-title" data-why><h3 id="why-title">${t("jobs.why")}</h3>
    <ul>${reasons.map((r) => html`<li key=${r.code}>${whyText(r, job, now)}</li>`)}</ul></section>`;
}

function whyText(reason, job, now) {
  const key = `jobs.why.${reason.code}${reason.code === "held" && reason.until ? "_until" : ""}`;
  const at = reason.until;
  const text = t(key, { queue: job.queue, kind: job.kind, key: reason.key ?? job.key ?? "", n: reason.running ?? "", most: reason.limit ?? "",
    when: at ? `${ago(at, now, lang.value)} (${moment(at, lang.value)})` : "–" });
  return text === key ? reason.code : text;
}

function Facts({ job: j }) {
  const language = lang.value;
  const now = useNow();
  const time = (at) => at && html`<time datetime=${at} title=${at}>${moment(at, language)}</time> <span class="muted">${ago(at, now, language)}</span>`;
  const ran = j.started_at && (j.finished_at ? Date.parse(j.finished_at) : now) - Date.parse(j.started_at);
  const due = j.run_at && Date.parse(j.run_at) > Date.parse(j.created_at) ? j.run_at : j.created_at;
  const waited = j.started_at ? Date.parse(j.started_at) - Date.parse(due) : null;
  const facts = [["queue", html`<a href=${`#/operations/queues/${encodeURIComponent(j.queue)}`}>${j.queue}</a>`], ["priority", t(`jobs.priority.${j.priority}`)], ["attempt", `${j.attempt} / ${j.max_attempts}`],
    ["created_at", time(j.created_at)], ["run_at", j.state === "delayed" && time(j.run_at)], ["started_at", time(j.started_at)], ["finished_at", time(j.finished_at)],
    ["waited", waited !== null && waited >= 0 && wait(waited)], ["ran", ran !== null && ran >= 0 && (j.finished_at ? wait(ran) : j.state === "running" && duration(ran / 1000, language))],
    ["crashes", j.crashes > 0 && html`<b class="bad-text">${j.crashes}</b>`], ["unique", j.unique && html`<code>${textOf(j.unique)}</code>`], ["key", j.key && html`<code>${j.key}</code>`], ["expires_at", time(j.expires_at)],
    ["schedule", j.schedule], ["batch", j.batch && idOf(j.batch)],
    ["workflow", j.workflow && html`<a href=${`#/operations/workflows/${idOf(j.workflow)}`}>${idOf(j.workflow)}</a>`],
    ["log", j.started_at && html`<a href=${linesOfJob(j.id)} data-job-log>${t("logs.of_job")}</a>`]];
  return html`<section class="job-part"><h3>${t("jobs.facts")}</h3><dl class="pairs">${facts.filter(([, value]) => value).map(([name, value]) => html`
    <div key=${name}><dt>${t(`jobs.fact.${name}`)}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}

const idOf = (value) => (typeof value === "object" ? value.id ?? value.run : value);
const textOf = (value) => (typeof value === "string" ? value : value.key ?? JSON.stringify(value));

function Json({ value, none }) {
  const [copied, setCopied] = useState(false);
  if (value === null || value === undefined) return html`<p class="muted">${none}</p>`;
  const text = JSON.stringify(value, null, 2);
  const copy = () => navigator.clipboard?.writeText(text).then(() => setCopied(true), () => {});
  return html`<div class="code-box"><pre class="code" tabindex="0">${text.slice(0, 20000)}</pre>
    <button class="button button-small" onClick=${copy}>${t(copied ? "ops.copied" : "ops.copy")}</button>
    ${text.length > 20000 && html`<p class="muted">${t("jobs.cut", { size: bytes(text.length, lang.value) })}</p>`}</div>`;
}

/** Newest first; the traceback stands behind each error. */
function Attempts({ job }) {
  const language = lang.value;
  const list = job.attempts ?? [];
  if (list.length === 0) return null;
  return html`<section class="job-part"><h3>${t("jobs.attempts")}</h3><ol class="attempts">${[...list].reverse().map((a) => html`
    <li key=${`${a.attempt} ${a.started_at}`} class=${a.error ? "attempt-bad" : "attempt-ok"} data-attempt=${a.attempt}>
      <p class="attempt-head"><b>${t("jobs.attempt_n", { n: a.attempt })}</b> <time datetime=${a.started_at}>${moment(a.started_at, language)}</time>
        <span class="muted">${a.ended_at && a.started_at ? t("jobs.took", { time: wait(Date.parse(a.ended_at) - Date.parse(a.started_at)) }) : ""} ${a.node ?? ""} ${a.lane ?? ""}</span></p>
      ${a.error && html`<p class="bad-text attempt-error">${a.error}</p>`}
      ${a.traceback && html`<details><summary>${t("jobs.traceback")}</summary><pre class="code">${a.traceback}</pre></details>`}</li>`)}</ol></section>`;
}
