/** One run of a workflow: its picture, what it waits for, every step, the checkpointed state. */
import { html, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { ago, count, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { jobHref } from "../../lib/route.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Pill } from "../bits.js";
import { bundleState, isItem } from "../../lib/layers.js";
import { Graph } from "./graph.js";
import { Answer } from "./answer.js";
import { took } from "./time.js";

const EVERY = 1500;
const OVER = ["done", "failed", "cancelled"];
const ROWS = 300;
export const KINDS = { running: "ok", waiting: "warn", done: "idle", failed: "bad", cancelled: "idle" };

/** @param {{ctx: import("../../app.js").PageContext, may: boolean, id: string}} props */
export function Run({ ctx, may, id }) {
  const now = useNow();
  const [over, setOver] = useState(false);
  const [chosen, setChosen] = useState("");
  const [said, setSaid] = useState(null);
  const run = useResource((signal) => ctx.api.get(`/admin/v1/workflows/${id}`, null, signal).then((found) => {
    setOver(OVER.includes(found.state) && found.active === 0);
    return found;
  }), [id], { stream: ctx.stream, every: over ? 0 : EVERY, keep: `workflow ${id}` });
  const act = async (verb, body) => {
    try {
      await ctx.api.post(`/admin/v1/workflows/${id}/${verb}`, body ?? {});
      setSaid({ text: t(`flow.did.${verb}`) });
    } catch (error) {
      setSaid({ text: error.message, bad: true });
    }
    run.reload();
  };
  const retry = async () => {
    try {
      for (const step of toRetry(run.data)) await ctx.api.post(`/admin/v1/jobs/${step.job}/retry`, {});
      setOver(false);
      setSaid({ text: t("flow.did.retry") });
    } catch (error) {
      setSaid({ text: error.message, bad: true });
    }
    run.reload();
  };
  const back = html`<a class="job-back" href="#/operations/workflows" data-back>← ${t("flow.title")}</a>`;
  if (run.error?.status === 404) return html`${back}<${Note} title=${t("flow.gone", { id })}><p class="muted">${t("flow.gone_text")}</p></${Note}>`;
  if (!run.data) return html`${back}${run.error ? html`<${Failure} error=${run.error} retry=${run.reload} />` : html`<p class="muted" aria-busy="true">…</p>`}`;
  const r = run.data;
  const steps = chosen ? r.steps.filter((s) => chosen === s.name || chosen === `${s.n} ${s.name}` || chosen === `${s.name} · ${s.role}`)
    : [...r.steps.filter((s) => !isItem(r, s)), ...(r.bundles ?? []).map((b) => ({ ...b, name: b.step, state: bundleState(b), items: b.total }))].sort((a, b) => a.n - b.n);
  return html`
    ${back}
    <article class="run" data-run=${r.id} data-state=${r.state}>
      <header class="job-head"><h2>${r.name || t(`flow.shape.${r.shape}`)}</h2> <span class="muted">${r.plugin} · ${r.id}</span>
        <${Pill} kind=${KINDS[r.state]}>${t(`flow.state.${r.state}`)}</${Pill}>
        ${may && !OVER.includes(r.state) && html`<span class="job-buttons"><button class="button button-danger" onClick=${() => act("cancel")} data-verb="cancel">${t("ops.cancel")}</button></span>`}
        ${may && toRetry(r).length > 0 && html`<span class="job-buttons"><button class="button button-main" onClick=${retry} data-verb="retry">${t("ops.retry")}</button></span>`}
        <span class=${`job-said ${said?.bad ? "bad-text" : "muted"}`} role="status">${said?.text ?? ""}</span></header>
      ${r.error && html`<section class="job-part"><pre class="code bad-text" data-run-error>${r.error}</pre></section>`}
      ${r.steps.filter((s) => s.state === "waiting" && s.waits_for).map((s) => html`<${Answer} key=${s.n} step=${s} may=${may} now=${now} tell=${(data) => act("signal", { name: s.waits_for, data })} />`)}
      <${Graph} run=${r} now=${now} chosen=${chosen} choose=${(name) => setChosen(chosen === name ? "" : name)} />
      <div class="run-columns">
        <${Steps} steps=${steps} now=${now} chosen=${chosen} all=${() => setChosen("")} total=${r.steps_total} graph=${r.shape === "graph"} />
        <div><${Facts} run=${r} now=${now} />
          ${r.data !== null && html`<${Json} title=${t("flow.data")} value=${r.data} />`}
          ${r.result !== null && html`<${Json} title=${t("jobs.result")} value=${r.result} />`}
          ${r.input !== null && html`<${Json} title=${t("flow.input")} value=${r.input} />`}</div>
      </div>
    </article>`;
}

/** The failed steps whose jobs make a failed run go on: of a graph the last, of a group all. */
function toRetry(run) {
  const failed = run.state === "failed" ? run.steps.filter((s) => s.state === "failed" && s.job) : [];
  return run.shape === "graph" ? failed.slice(-1) : failed;
}

function Steps({ steps, now, chosen, all, total, graph }) {
  const language = lang.value;
  const rows = [...steps].reverse().filter((s, i) => i < ROWS || s.state === "waiting" || s.state === "failed").slice(0, 2 * ROWS);
  return html`
    <section class="job-part" aria-labelledby="steps-title">
      <h3 id="steps-title">${t("flow.steps")} <span class="muted">${total}</span> ${chosen && html`<button class="button button-small" onClick=${all}>${t("flow.all_steps")}</button>`}</h3>
      <ol class="steps">${rows.map((s) => html`
        <li key=${s.n} class=${`steps-row step-${s.state}`} data-step-row=${s.n}>
          <span class="steps-n muted">${s.n}</span>
          <span class="steps-name"><b>${s.name}</b>${s.from && html` <span class="muted">← ${s.from}</span>`}
            ${s.items !== undefined && html` <span class="steps-items">${t("flow.items", { n: count(s.items, language) })}</span> <span class="muted">${["done", "running", "ready", "delayed", "held", "failed", "cancelled"].filter((state) => s[state] > 0).map((state) => `${t(`flow.step.${state}`)} ${count(s[state], language)}`).join(" · ")}</span>`}
            ${s.waits_for && s.state === "waiting" && html` <span class="muted">${t("flow.for", { name: s.waits_for })}</span>`}
            ${s.error && html`<span class="bad-text steps-error">${s.error}</span>`}
            ${graph && s.set && html`<code class="steps-set">${brief(s.set)}</code>`}</span>
          <span class="steps-state">${t(`flow.step.${s.state}`)}${s.attempt > 1 ? html` <span class="muted">${t("jobs.attempt_n", { n: s.attempt })}</span>` : ""}</span>
          <span class="steps-took">${took(s, now)}</span>
          <span class="steps-when muted">${s.started_at ? html`<time datetime=${s.started_at} title=${s.started_at}>${moment(s.started_at, language)}</time>` : ""}</span>
          <span class="steps-job">${s.job ? html`<a href=${jobHref(s.job)}>${t("flow.job")} ${s.job}</a>` : ""}</span>
        </li>`)}</ol>
      ${!chosen && rows.length > 0 && rows.reduce((n, s) => n + (s.items ?? 1), 0) < total && html`<p class="muted" data-more-steps>${t("flow.some_steps", { total })}</p>`}
    </section>`;
}

const brief = (value) => {
  const text = JSON.stringify(value);
  return text.length > 160 ? `${text.slice(0, 160)}…` : text;
};

function Facts({ run: r, now }) {
  const language = lang.value;
  const time = (at) => at && html`<time datetime=${at} title=${at}>${moment(at, language)}</time> <span class="muted">${ago(at, now, language)}</span>`;
  const facts = [["shape", t(`flow.shape.${r.shape}`)], ["version", r.version || null], ["key", r.key && html`<code>${r.key}</code>`],
    ["created_at", time(r.created_at)], ["finished_at", time(r.finished_at)],
    ["signals", r.signals.length > 0 && r.signals.map((s) => s.name).join(", ")]];
  return html`<section class="job-part"><h3>${t("jobs.facts")}</h3><dl class="pairs">${facts.filter(([, value]) => value).map(([name, value]) => html`
    <div key=${name}><dt>${t(`flow.fact.${name}`)}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}

function Json({ title, value }) {
  return html`<section class="job-part"><h3>${title}</h3><pre class="code" tabindex="0">${JSON.stringify(value, null, 2).slice(0, 20000)}</pre></section>`;
}
