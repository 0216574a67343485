/** A list of any length: only the rows in sight are drawn, the next page comes when its end is near. */
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../lib/html.js";
import { useNow } from "../../lib/hooks.js";
import { ago, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { rowsToDraw } from "../../lib/jobs.js";
import { jobHref } from "../../lib/route.js";
import { lang } from "../../lib/settings.js";
import { Pill } from "../bits.js";

const KINDS = { running: "ok", ready: "idle", delayed: "idle", dead: "bad", done: "ok", cancelled: "idle", expired: "warn" };
const ROW = 54;

/** @param {{state: string}} props */
export function State({ state }) {
  return html`<${Pill} kind=${KINDS[state] ?? "idle"}>${t(`ops.${state}`)}</${Pill}>`;
}

/**
 * @param {Object} props
 * @param {any[]} props.jobs
 * @param {boolean} props.more         there are more pages
 * @param {() => void} props.loadMore
 * @param {(atTop: boolean) => void} props.onTop   told whether the newest are in sight
 * @param {boolean} props.may
 * @param {(id: number, verb: string) => void} props.act
 */
export function List({ jobs, more, loadMore, onTop, may, act }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const measure = () => {
    if (!box.current) return; /* a scroll is told of with the next frame; the list may be gone by then */
    const { scrollTop, clientHeight } = box.current;
    setView((v) => (v.top === scrollTop && v.height === clientHeight ? v : { top: scrollTop, height: clientHeight }));
    onTop(scrollTop < ROW);
  };
  useLayoutEffect(measure, []);
  useEffect(() => {
    addEventListener("resize", measure);
    return () => removeEventListener("resize", measure);
  }, []);
  const [from, to] = rowsToDraw(view.top, view.height, ROW, jobs.length);
  useEffect(() => {
    if (more && to >= jobs.length - 10) loadMore();
  }, [more, to, jobs.length]);
  return html`
    <div class="jobs-list" ref=${box} onScroll=${measure} role="list" aria-label=${t("ops.jobs")} tabindex="-1" data-jobs>
      <div class="jobs-space" style=${`height:${jobs.length * ROW}px`}>
        ${jobs.slice(from, to).map((job, i) => html`<${Row} key=${job.id} job=${job} top=${(from + i) * ROW} place=${from + i + 1} count=${more ? -1 : jobs.length} may=${may} act=${act} />`)}
      </div>
    </div>`;
}

function Row({ job, top, place, count, may, act }) {
  const language = lang.value;
  const now = useNow();
  const at = job.finished_at ?? job.started_at ?? (job.state === "delayed" ? job.run_at : job.created_at);
  const verb = job.state === "dead" || job.state === "delayed" ? "retry" : job.state === "ready" || job.state === "running" ? "cancel" : "";
  const line = job.error ?? (job.result !== undefined && job.args === null ? JSON.stringify(job.result) : job.args ? JSON.stringify(job.args) : "");
  return html`
    <div class="job-row" role="listitem" aria-posinset=${place} aria-setsize=${count} style=${`transform:translateY(${top}px)`} data-job=${job.id} data-state=${job.state}>
      <span class="job-state"><${State} state=${job.state} /></span>
      <span class="job-what"><a class="row-name" href=${jobHref(job.id)} data-row>${job.kind}</a> <span class="muted">${job.id} · ${job.queue}</span>
        <span class=${`job-line ${job.error ? "bad-text" : "muted"}`} title=${line}>${line.slice(0, 400)}</span></span>
      <span class="job-attempt muted" title=${t("ops.attempt")}>${job.attempt}/${job.max_attempts}</span>
      <span class="job-when muted" title=${moment(at, language)}>${ago(at, now, language)}</span>
      ${may && html`<span class="job-act">${verb && html`<button class="button button-small" onClick=${() => act(job.id, verb)}>${t(job.state === "delayed" ? "jobs.run_now" : `ops.${verb}`)}</button>`}</span>`}
    </div>`;
}
