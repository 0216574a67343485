/** Operations: what runs here, what it costs, what failed, and the few things one may do about it. */
import { html, render, useEffect, useRef, useState } from "../lib/html.js";
import { useResource, useSignal } from "../lib/hooks.js";
import { bytes, count, decimal, duration, percent } from "../lib/format.js";
import { t } from "../lib/i18n.js";
import { shares } from "../lib/rates.js";
import { lang } from "../lib/settings.js";
import { Failure } from "../components/bits.js";
import { Closed, Login } from "../components/ops/access.js";
import { Audit } from "../components/ops/audit.js";
import { Log } from "../components/ops/log.js";
import { Models } from "../components/ops/models.js";
import { Drivers, Nodes } from "../components/ops/nodes.js";
import { Plugins } from "../components/ops/plugins.js";
import { Schedules } from "../components/ops/schedules.js";
import { Job } from "../components/jobs/job.js";
import { Jobs } from "../components/jobs/jobs.js";
import { Queues } from "../components/jobs/queues.js";
import { Workers } from "../components/jobs/workers.js";
import { Cache } from "../components/monitor/cache.js";
import { Logs } from "../components/monitor/logs.js";
import { Topic } from "../components/monitor/topic.js";
import { Topics } from "../components/monitor/topics.js";
import { Run } from "../components/workflows/run.js";
import { Workflows } from "../components/workflows/workflows.js";

const EVERY = 3000;

/** Behind the overview; each is given ctx, may (change something), every and id (from the address). */
const TABS = { queues: Queues, jobs: ({ id, ...rest }) => (id ? html`<${Job} key=${id} id=${id} ...${rest} />` : html`<${Jobs} ...${rest} />`), schedules: Schedules,
  workflows: ({ id, ...rest }) => (id ? html`<${Run} key=${id} id=${id} ...${rest} />` : html`<${Workflows} ...${rest} />`), workers: Workers,
  stream: ({ id, ...rest }) => (id ? html`<${Topic} key=${id} id=${id} ...${rest} />` : html`<${Topics} ...${rest} />`), cache: Cache, logs: Logs };

/** @param {HTMLElement} root @param {import("../app.js").PageContext} ctx */
export function mount(root, ctx) {
  render(html`<${OperationsPage} ctx=${ctx} />`, root);
  return () => render(null, root);
}

function OperationsPage({ ctx }) {
  const language = useSignal(lang);
  const route = useSignal(ctx.route);
  const [open, setOpen] = useState(true);
  const status = useResource((signal) => ctx.api.get("/admin/v1/status", null, signal), [],
    { stream: ctx.stream, every: open ? EVERY : 0, keep: "ops status" });
  const refused = status.error && [401, 403, 404].includes(status.error.status) ? status.error.status : 0;
  useEffect(() => setOpen(!refused), [refused]);
  useEffect(() => {
    ctx.title.value = t("nav.operations");
  }, [language]);

  const tab = route.params.tab in TABS ? route.params.tab : "";
  const title = html`<h1>${t("nav.operations")}</h1>`;
  if (refused === 404) return html`${title}<${Closed} />`;
  if (refused) return html`${title}<${Login} />`;
  if (!status.data && status.error) return html`${title}<${Failure} error=${status.error} retry=${status.reload} />`;
  /* Whether there is anything to operate here is not known yet. */
  if (!status.data) return html`<div class="ops" aria-busy="true"><div class="ops-head">${title}</div></div>`;
  const may = status.data.role !== "viewer";
  return html`
    <div class="ops" data-operations=${tab || "overview"}>
      <div class="ops-head">${title}${!may && html`<span class="pill pill-idle" title=${t("ops.viewer_text")} data-viewer>${t("ops.viewer")}</span>`}</div>
      <nav class="tabs" aria-label=${t("nav.operations")}>${["", ...Object.keys(TABS)].map((name) => html`
        <a key=${name} href=${`#/operations${name && `/${name}`}`} aria-current=${tab === name ? "page" : null}>${t(`tab.${name || "overview"}`)}</a>`)}</nav>
      ${tab ? html`<${TABS[tab]} key=${tab} ctx=${ctx} may=${may} every=${EVERY} id=${route.params.id} />` : html`
        <${Figures} status=${status} />
        <${Drivers} ctx=${ctx} every=${EVERY} />
        <${Nodes} ctx=${ctx} every=${EVERY} />
        <${Plugins} ctx=${ctx} may=${may} every=${EVERY} />
        <${Models} ctx=${ctx} every=${EVERY} />
        <${Log} ctx=${ctx} />
        <${Audit} ctx=${ctx} every=${EVERY * 5} />`}
    </div>`;
}

function Figures({ status }) {
  const language = lang.value;
  const s = status.data;
  const cpu = useCpu(status);
  const lanes = s?.lanes ?? [];
  const kinds = [...new Set(lanes.map((lane) => lane.kind))];
  const sum = (key) => lanes.reduce((n, lane) => n + lane[key], 0);
  return html`
    <dl class="figures">
      <${Figure} name="version" note=${s && t("ops.set", { n: s.generation_set })}>${s?.version ?? "–"}</${Figure}>
      <${Figure} name="uptime" note=${s && t("ops.pid", { pid: s.server_pid ?? s.pid })}>${duration(s?.uptime_s, language)}</${Figure}>
      <${Figure} name="cpu" note=${s && t("ops.cpu_total", { n: decimal(s.cpu_seconds, language) })}>${percent(cpu, language)}</${Figure}>
      <${Figure} name="memory" note=${s ? "RSS" : ""}>${bytes(s?.memory.rss_bytes, language)}</${Figure}>
      <${Figure} name="lanes" note=${kinds.map((kind) => `${kind} ${lanes.filter((l) => l.kind === kind).length}`).join(" · ")}>
        <span title=${lanes.map((lane) => t("ops.lane", lane)).join("\n")}>${s ? `${t("ops.tasks", { n: sum("tasks") })} · ${t("ops.connections", { n: sum("connections") })}` : "–"}</span></${Figure}>
      <${Figure} name="crashes"><span class=${s?.crashes > 0 ? "bad-text" : ""}>${count(s?.crashes, language)}</span></${Figure}>
    </dl>`;
}

function Figure({ name, note, children }) {
  return html`<div class=${`figure figure-${name}`}><dt>${t(`ops.${name}`)}</dt><dd>${children}</dd><small>${note ?? ""}</small></div>`;
}

/** The share of one processor since the last look. */
function useCpu({ data, at }) {
  const look = useRef({ last: null, share: null });
  if (data && look.current.last?.at !== at) {
    const now = { at, values: { all: data.cpu_seconds } };
    look.current = { last: now, share: shares(look.current.last, now).all };
  }
  return look.current.share;
}
