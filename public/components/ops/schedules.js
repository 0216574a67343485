/** Schedules: pattern, zone, the next runs with changes of the clock, what came of the last ones, by hand. */
import { html, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { ago, count, duration, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { clockChanges } from "../../lib/jobs.js";
import { href, jobHref } from "../../lib/route.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Pill } from "../bits.js";

const RUNS = 24;

/** @param {{ctx: import("../../app.js").PageContext, may: boolean, every: number}} props */
export function Schedules({ ctx, may, every }) {
  const schedules = useResource((signal) => ctx.api.get("/admin/v1/schedules", null, signal), [], { stream: ctx.stream, every, keep: "ops schedules" });
  const [said, setSaid] = useState({});
  const act = async (s, verb) => {
    const key = `${s.plugin}/${s.id}`;
    try {
      const answer = await ctx.api.post(`/admin/v1/schedules/${encodeURIComponent(s.plugin)}/${encodeURIComponent(s.id)}/${verb}`);
      setSaid({ key, text: verb === "run" ? t("ops.ran") : "", job: answer?.job });
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
        <thead><tr>${["schedule", "pattern", "next", "last"].map((name) => html`<th key=${name} scope="col">${t(`ops.${name}`)}</th>`)}${may && html`<th class="c-act"><span class="hidden">${t("jobs.actions")}</span></th>`}</tr></thead>
        <tbody>${(schedules.data ?? []).map((s) => html`<${Row} key=${`${s.plugin}/${s.id}`} ctx=${ctx} schedule=${s} may=${may} act=${act} said=${said.key === `${s.plugin}/${s.id}` ? said : null} />`)}</tbody>
      </table>`}
      ${schedules.data?.length === 0 && html`<${Note} title=${t("ops.nothing")} />`}
    </section>`;
}

function Row({ ctx, schedule: s, may, act, said }) {
  const language = lang.value;
  const now = useNow();
  const [opened, setOpened] = useState(false);
  const off = s.paused ? "ops.paused" : !s.enabled ? "ops.disabled" : "";
  return html`
    <tr data-schedule=${s.id}>
      <td class="c-plugin"><button class="plain" aria-expanded=${opened} onClick=${() => setOpened(!opened)} data-row data-open-schedule=${s.id}>${s.id}</button>
        <span class="muted">${s.plugin}${s.job && s.job !== s.id && s.job !== `${s.plugin}.${s.id}` ? ` → ${s.job}` : ""}</span></td>
      <td data-label=${t("ops.pattern")}><code>${s.pattern}</code> <span class="muted">${s.tz}</span></td>
      <td data-label=${t("ops.next")}>${off ? html`<${Pill} kind=${s.paused ? "warn" : "idle"}>${t(off)}</${Pill}>` : html`${ago(s.next_at, now, language)} <span class="muted">${moment(s.next_at, language, s.tz)}</span>
        ${changesOf(s).some(Boolean) && html` <${Pill} kind="warn" title=${t("jobs.clock_text")}>${t("jobs.clock")}</${Pill}>`}`}</td>
      <td data-label=${t("ops.last")} class="muted" title=${s.last_status ? t(`jobs.last.${s.last_status}`) : ""}>${s.last_at ? ago(s.last_at, now, language) : t("ops.never")}</td>
      ${may && html`<td class="c-act"><span class=${said?.bad ? "bad-text" : "muted"} role="status">${said?.job ? html`<a href=${jobHref(said.job)}>${said.text}</a>` : said?.text ?? ""}</span>
        ${"paused" in s && html`<button class="button button-small" onClick=${() => act(s, s.paused ? "resume" : "pause")} data-pause-schedule=${s.id}>${t(s.paused ? "jobs.resume" : "jobs.pause")}</button>`}
        <button class="button button-small" onClick=${() => act(s, "run")} data-run=${s.id}>${t("ops.run")}</button></td>`}
    </tr>
    ${opened && html`<tr class="row-details"><td colspan="5"><${Details} ctx=${ctx} schedule=${s} /></td></tr>`}`;
}

/** By how many minutes the clock is set before each of the next runs. */
function changesOf(s) {
  const next = s.next ?? [];
  if (!s.changes) return clockChanges(next, s.tz);
  return next.map((_, run) => s.changes.filter((c) => c.run === run).reduce((n, c) => n + minutes(c.after) - minutes(c.before), 0));
}

/** "+09:00" → 540. */
function minutes(offset) {
  const [, sign, h, m] = /^([+-])(\d\d):(\d\d)$/.exec(offset) ?? ["", "+", 0, 0];
  return (sign === "-" ? -1 : 1) * (60 * Number(h) + Number(m));
}

function Details({ ctx, schedule: s }) {
  const language = lang.value;
  const now = useNow();
  const changes = changesOf(s);
  const wall = (at) => new Intl.DateTimeFormat(language === "ko" ? "ko-KR" : "en-GB", { timeZone: s.tz, weekday: "short", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: s.pattern.trim().split(/\s+/).length === 6 ? "2-digit" : undefined, hourCycle: "h23" }).format(new Date(at));
  const dropped = Object.entries(s.dropped ?? {}).filter(([, n]) => n > 0);
  const facts = [["missed", s.missed && t(`jobs.missed.${s.missed}`)], ["overlap", s.overlap && t(`jobs.overlap.${s.overlap}`)], ["jitter", s.jitter > 0 && duration(s.jitter, language)], ["deadline", s.deadline > 0 && duration(s.deadline, language)],
    ["dropped", dropped.length > 0 && html`<span class="bad-text">${dropped.map(([reason, n]) => `${t(`jobs.drop.${reason}`)} ${count(n, language)}`).join(", ")}</span>`], ["last", s.last_status && t(`jobs.last.${s.last_status}`)]];
  return html`
    <div class="details schedule-details">
      <section><h3>${t("jobs.next_runs", { tz: s.tz })}</h3>
        ${(s.next ?? [s.next_at]).filter(Boolean).length === 0 ? html`<p class="muted">${t("ops.disabled")}</p>` : html`
        <ol class="next-runs">${(s.next ?? [s.next_at]).filter(Boolean).map((at, i) => html`
          ${changes[i] ? html`<li key=${`${at} clock`} class="next-clock" data-clock-change>${t(changes[i] > 0 ? "jobs.clock_forward" : "jobs.clock_back", { n: Math.abs(changes[i]) })}</li>` : null}
          <li key=${at} class=${changes[i] ? "next-changed" : ""}><time datetime=${at}>${wall(at)}</time> <span class="muted">${ago(at, now, language)}</span></li>`)}</ol>`}</section>
      <section>${facts.some(([, v]) => v) && html`<h3>${t("jobs.facts")}</h3>`}<dl class="pairs">${facts.filter(([, v]) => v).map(([name, value]) => html`<div key=${name}><dt>${t(`jobs.schedule.${name}`)}</dt><dd>${value}</dd></div>`)}</dl></section>
      <${Past} ctx=${ctx} kind=${s.job?.includes(".") ? s.job : `${s.plugin}.${s.job ?? s.id}`} />
    </div>`;
}

/** The last jobs of its kind, newest at the end: as tall as they ran, red where they failed. */
function Past({ ctx, kind }) {
  const jobs = useResource((signal) => ctx.api.get("/admin/v1/jobs", { kind, limit: RUNS }, signal), [kind], { every: 5000, keep: `past ${kind}` });
  const list = [...(jobs.data?.jobs ?? [])].filter((job) => job.started_at).reverse();
  const ran = (job) => Math.max(0, (job.finished_at ? Date.parse(job.finished_at) : Date.now()) - Date.parse(job.started_at));
  const most = Math.max(1, ...list.map(ran));
  return html`<section><h3>${t("jobs.past", { kind })}</h3>
    ${list.length === 0 ? html`<p class="muted">${jobs.data ? t("jobs.past_none") : jobs.error ? jobs.error.message : "…"}</p>` : html`
    <div class="past">${list.map((job) => html`<a key=${job.id} href=${jobHref(job.id)} class=${`past-run past-${job.state}`} style=${`--tall:${Math.round(20 + 80 * (ran(job) / most))}%`} title=${`${t(`ops.${job.state}`)} · ${moment(job.started_at, lang.value)} · ${duration(ran(job) / 1000, lang.value)}`}><span class="hidden">${t(`ops.${job.state}`)} ${job.id}</span></a>`)}</div>
    <p><a href=${href("/operations/jobs", { q: `kind:${kind}` })}>${t("jobs.past_all")}</a></p>`}</section>`;
}
