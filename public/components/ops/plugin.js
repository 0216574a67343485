/** One plugin, opened: what it may reach, how it fares, what it can go back to, what happened to it. */
import { html } from "../../lib/html.js";
import { useResource } from "../../lib/hooks.js";
import { bytes, count, decimal, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";
import { Failure, Pill } from "../bits.js";

const REACH = ["net", "fs", "env", "exec", "exports", "jobs", "events", "on", "model"];
const BAD_EVENTS = new Set(["refused", "guard", "killed", "quarantined", "ended"]);

/** A generation's hash as far as people compare it. @param {string|null|undefined} generation */
export const short = (generation) => (generation ? String(generation).replace(/^.*@/, "").slice(0, 8) : "–");

/** What needs a decision, above everything else: quarantine, and a rollback that was made. */
export function Notices({ plugin: p, may, busy, act }) {
  const language = lang.value;
  return html`
    ${p.quarantine && html`<tr class="row-notice row-notice-bad" data-quarantine=${p.name}><td colspan="10">
      <p><b>${t("ops.quarantined")}</b> ${p.quarantine.reason} <span class="muted">${moment(p.quarantine.since, language)} · ${t("ops.kills_n", { n: p.quarantine.kills })}</span></p>
      <p class="muted">${t("ops.quarantined_text")}</p>
      ${may && html`<button class="button button-small" disabled=${busy !== ""} data-release=${p.name} onClick=${() => act(p.name, "release")}>${t("ops.release")}</button>`}</td></tr>`}
    ${p.rolled_back && html`<tr class="row-notice" data-rolled-back=${p.name}><td colspan="10">
      <p><b>${t("ops.rolled_back", { from: short(p.rolled_back.from), to: short(p.rolled_back.to) })}</b> ${p.rolled_back.reason} <span class="muted">${moment(p.rolled_back.at, language)}</span></p>
      <p class="muted">${t("ops.rolled_back_text")}</p></td></tr>`}`;
}

/** @param {{ctx: import("../../app.js").PageContext, plugin: any, every: number, busy: string, act: (name: string, verb: string, query?: any) => void}} props */
export function Details({ ctx, may, plugin, every, busy, act }) {
  const one = useResource((signal) => ctx.api.get(`/admin/v1/plugins/${encodeURIComponent(plugin.name)}`, null, signal), [plugin.name, plugin.generation],
    { stream: ctx.stream, every, keep: `ops plugin ${plugin.name}` });
  const p = { ...plugin, ...one.data };
  return html`
    <tr class="row-details" data-details=${plugin.name}><td colspan="10">
      ${!one.data && one.error ? html`<${Failure} error=${one.error} retry=${one.reload} />` : html`
      <div class="details">
        <${Fares} plugin=${p} />
        <${Reach} allow=${p.allow ?? {}} />
        <${Kept} plugin=${p} may=${may} busy=${busy} act=${act} />
        <${Events} events=${p.events} />
      </div>`}
    </td></tr>`;
}

function Fares({ plugin: p }) {
  const language = lang.value;
  const rows = [
    ["latency", `${decimal(p.p50_ms, language)} / ${decimal(p.p99_ms, language)} ms`],
    ["memory", bytes(p.memory_bytes, language)],
    ["tasks_now", count(p.tasks, language)],
    ["kills", count(p.kills, language)],
    ["generations", count(p.generations, language)],
  ];
  return html`
    <section><h3>${t("ops.fares")}</h3>
      <dl class="pairs">${rows.map(([name, text]) => html`<div key=${name}><dt>${t(`ops.${name}`)}</dt><dd>${text}</dd></div>`)}</dl>
    </section>`;
}

function Reach({ allow }) {
  const kinds = REACH.filter((kind) => allow[kind]?.length);
  return html`
    <section><h3>${t("ops.reach")}</h3>
      ${kinds.length === 0 && html`<p class="muted">${t("ops.reach_nothing")}</p>`}
      <dl class="pairs">${kinds.map((kind) => html`<div key=${kind}><dt>${t(`ops.reach.${kind}`)}</dt>
        <dd class="mono">${allow[kind].map((entry) => html`<span key=${entry} class="entry">${entry}</span>`)}</dd></div>`)}</dl>
    </section>`;
}

function Kept({ plugin, may, busy, act }) {
  const language = lang.value;
  return html`
    <section><h3>${t("ops.kept_generations")}</h3>
      <ul class="kept">${(plugin.kept ?? []).map((g) => html`
        <li key=${g.hash} data-kept=${g.hash}><code>${short(g.hash)}</code> <span>${g.version}</span> <span class="muted">${moment(g.at, language)}</span>
          ${g.failed && html` <${Pill} kind="bad" title=${g.failed}>${t("ops.kept_failed")}</${Pill}>`}
          ${g.serving ? html`<${Pill} kind="ok">${t("ops.state.serving")}</${Pill}>`
    : may && html`<button class="button button-small" disabled=${busy !== ""} data-rollback=${g.hash} onClick=${() => act(plugin.name, "rollback", { hash: g.hash })}>${t("ops.rollback")}</button>`}</li>`)}</ul>
      ${plugin.kept?.length === 0 && html`<p class="muted">${t("ops.kept_nothing")}</p>`}
    </section>`;
}

function Events({ events }) {
  const language = lang.value;
  return html`
    <section class="details-wide"><h3>${t("ops.events")}</h3>
      <ol class="happened">${(events ?? []).slice(0, 12).map((e, i) => html`
        <li key=${`${e.at} ${i}`} class=${BAD_EVENTS.has(e.kind) ? "bad-text" : ""}><time class="muted">${moment(e.at, language)}</time> <b>${e.kind}</b>${" "}<span class="mono">${short(e.generation)}</span> ${e.text}</li>`)}</ol>
      ${events?.length === 0 && html`<p class="muted">${t("ops.events_nothing")}</p>`}
    </section>`;
}
