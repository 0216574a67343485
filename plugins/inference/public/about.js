/** What came with a submission and is not its series: metadata, and how telling the client of its result goes. */
import { API } from "./kit.js";

const EVERY = 2000;
const PILLS = { waiting: "idle", trying: "warn", delivered: "ok", failed: "bad", unknown: "idle" };

export function makeAbout(kit) {
  const { ctx, html, t, useResource, Pill } = kit;

  /** Nested values as JSON: they are the client's own. */
  const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));

  function Metadata({ metadata }) {
    const rows = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
    return html`<div class="inf-about-part"><h2>${t("metadata")}</h2>
      <dl class="inf-pairs" data-metadata>${rows.map(([key, value]) => html`<div key=${key}><dt class="mono">${key}</dt><dd class="mono">${written(value)}</dd></div>`)}</dl></div>`;
  }

  function Callback({ job }) {
    const going = kit.going(job);
    const told = useResource((signal) => (going ? Promise.resolve(null) : ctx.api.get(`${API}/${encodeURIComponent(job.id)}/callback`, null, signal)), [job.id, going],
      { stream: ctx.stream, every: going ? 0 : EVERY, keep: `inference callback ${job.id}` });
    const state = going ? "waiting" : told.data?.state ?? (told.error ? "unknown" : "");
    const { attempts, error, next_at: next } = told.data ?? {};
    return html`<div class="inf-about-part"><h2>${t("callback")}</h2>
      <p class="inf-callback" role="status" data-callback=${state}>${state && html`<${Pill} kind=${PILLS[state]}>${t(`callback.${state}`)}</${Pill}>`} <span class="mono inf-break">${job.callback}</span></p>
      ${told.data && html`<p class="muted inf-small">${[attempts > 0 && t("attempts_n", { n: kit.count(attempts) }), next && t("next_at", { at: kit.clock(next) })].filter(Boolean).join(" · ")}</p>`}
      ${error && html`<p class="bad-text inf-small inf-break" data-callback-error>${error}</p>`}</div>`;
  }

  return function About({ job }) {
    const metadata = job.metadata && typeof job.metadata === "object" && Object.keys(job.metadata).length > 0;
    if (!metadata && !job.callback) return null;
    return html`<section class="inf-card inf-about" data-about>${metadata && html`<${Metadata} metadata=${job.metadata} />`}${job.callback && html`<${Callback} job=${job} />`}</section>`;
  };
}
