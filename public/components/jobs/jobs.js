/** Jobs: a search with qualifiers, states with counts, the newest as they come, one or all of them changed. */
import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { useResource, useSettled, useSignal } from "../../lib/hooks.js";
import { compact, count } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { completions, formatSearch, isEveryJob, parseSearch, STATES } from "../../lib/jobs.js";
import { href } from "../../lib/route.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note } from "../bits.js";
import { Bulk } from "./bulk.js";
import { List } from "./list.js";

const EVERY = 2000;
const COUNT_EVERY = 6000; /* counting looks at every job */
const PAGE = 100;

/** @param {{ctx: import("../../app.js").PageContext, may: boolean}} props */
export function Jobs({ ctx, may }) {
  const route = useSignal(ctx.route);
  const text = route.query.get("q") ?? "";
  const filter = useMemo(() => parseSearch(text), [text]);
  const [live, setLive] = useState(true);
  const [atTop, setAtTop] = useState(true);
  const [said, setSaid] = useState("");
  const [bulk, setBulk] = useState(false);
  const queues = useResource((signal) => ctx.api.get("/admin/v1/queues", null, signal), [], { stream: ctx.stream, every: EVERY, keep: "queues" });
  ctx.lastJobs = href("/operations/jobs", { q: text }); /* where one job leads back to */
  const found = useFound(ctx, filter, text, live && atTop);
  const search = (next) => {
    location.replace(href("/operations/jobs", { q: next }));
  };
  const act = async (id, verb) => {
    try {
      await ctx.api.post(`/admin/v1/jobs/${id}/${verb}`);
      setSaid(t(`jobs.did.${verb}`, { id }));
    } catch (error) {
      setSaid(error.message);
    }
    found.reload();
  };
  const counts = useCounts(ctx, filter, text, queues.data);
  return html`
    <${Search} text=${text} search=${search} queues=${queues.data ?? []} jobs=${found.jobs} />
    <div class="jobs-bar">
      <${States} filter=${filter} counts=${counts} search=${search} />
      <label class="check"><input type="checkbox" checked=${live} onChange=${(e) => setLive(e.target.checked)} data-live /> ${t("jobs.live")}</label>
      ${may && html`<button class="button button-small" disabled=${isEveryJob(filter) || found.jobs.length === 0} title=${isEveryJob(filter) ? t("jobs.bulk_needs") : null} onClick=${() => setBulk(true)} data-bulk>${t("jobs.bulk")}</button>`}
    </div>
    <p class="jobs-said muted" role="status">${said || (found.partial ? t("jobs.partial") : live && !atTop ? t("jobs.live_waits") : "")}</p>
    ${found.error && found.jobs.length === 0 ? html`<${Failure} error=${found.error} retry=${found.reload} />`
      : found.loaded && found.jobs.length === 0 ? html`<${Note} title=${t(isEveryJob(filter) ? "jobs.none" : "jobs.no_match")}><p class="muted">${t("jobs.search_help")}</p></${Note}>`
      : html`<${List} key=${text} jobs=${found.jobs} more=${found.more} loadMore=${found.loadMore} onTop=${setAtTop} may=${may} act=${act} />`}
    ${bulk && html`<${Bulk} ctx=${ctx} filter=${filter} close=${() => setBulk(false)} done=${(words) => { setSaid(words); found.reload(); }} />`}`;
}

/** The pages that were asked for so far; the first one anew while it is followed. */
function useFound(ctx, filter, text, follow) {
  const query = { ...filter, limit: PAGE };
  const first = useResource((signal) => ctx.api.get("/admin/v1/jobs", query, signal), [text],
    { stream: ctx.stream, every: follow ? EVERY : 0, keep: `jobs ${text}` });
  const [rest, setRest] = useState({ text, jobs: [], next: null });
  const loading = useRef(null);
  const mine = rest.text === text ? rest : { text, jobs: [], next: null };
  const next = mine.next ?? first.data?.next ?? null;
  useEffect(() => {
    /* Back at the newest: what follows them is asked for again when it is needed. */
    if (follow && rest.jobs.length > 0) setRest({ text, jobs: [], next: null });
  }, [follow, text]);
  const loadMore = async () => {
    const after = next;
    if (!after || loading.current === after) return;
    loading.current = after;
    try {
      const page = await ctx.api.get("/admin/v1/jobs", { ...query, after });
      setRest((r) => ({ text, jobs: [...(r.text === text ? r.jobs : []), ...page.jobs], next: page.next ?? "" }));
    } catch {
      /* the rows that are here stay; scrolling asks again */
    }
    loading.current = null;
  };
  const jobs = useMemo(() => distinct([...(first.data?.jobs ?? []), ...mine.jobs]), [first.data, mine.jobs]);
  return { jobs, more: Boolean(next), loadMore, loaded: Boolean(first.data), error: first.error, partial: first.data?.partial, reload: first.reload };
}

function distinct(jobs) {
  const seen = new Set();
  return jobs.filter((job) => !seen.has(job.id) && seen.add(job.id));
}

/** What each state would show: from the queues' counts where they know, otherwise counted. */
function useCounts(ctx, filter, text, queues) {
  const simple = !filter.kind && !filter.q;
  const counted = useResource((signal) => (simple ? Promise.resolve(null) : ctx.api.get("/admin/v1/jobs", { ...filter, state: "", limit: 1, count: 1 }, signal)),
    [text], { every: simple ? 0 : COUNT_EVERY, keep: `counts ${formatSearch({ ...filter, state: "" })}` });
  if (!simple) return counted.data?.counts ?? {};
  const rows = (queues ?? []).filter((q) => !filter.queue || q.queue === filter.queue);
  const sum = (key) => rows.reduce((n, q) => n + (q[key] ?? 0), 0);
  return queues ? { ready: sum("ready"), delayed: sum("delayed"), running: sum("running"), dead: sum("dead") } : {};
}

function States({ filter, counts, search }) {
  const language = lang.value;
  const shown = ["", ...STATES];
  const choose = (state) => search(formatSearch({ ...filter, state }));
  return html`
    <div class="states" role="group" aria-label=${t("ops.jobs_state")}>${shown.map((state) => html`
      <button key=${state} class="state" aria-pressed=${filter.state === state} onClick=${() => choose(state)} data-choose=${state || "all"}>${t(state ? `ops.${state}` : "jobs.all")}
        ${state in counts && html` <b title=${count(counts[state], language)}>${compact(counts[state], language)}</b>`}</button>`)}</div>`;
}

function Search({ text, search, queues, jobs }) {
  const [typed, setTyped] = useState(text);
  const settled = useSettled(typed, 300);
  const sent = useRef(text);
  useEffect(() => {
    if (text !== sent.current) setTyped(text);
    sent.current = text;
  }, [text]);
  useEffect(() => {
    const words = settled.trim();
    if (words === sent.current) return;
    sent.current = words;
    search(words);
  }, [settled]);
  const known = { queue: queues.map((q) => q.queue), kind: [...new Set(jobs.map((job) => job.kind))].sort(), state: STATES };
  const open = /^\d+$/.test(typed.trim());
  return html`
    <div class="jobs-search">
      <input class="field" type="search" list="jobs-completions" value=${typed} placeholder=${t("jobs.search")} aria-label=${t("jobs.search")} aria-describedby="jobs-search-help"
        onInput=${(e) => setTyped(e.target.value)} onKeyDown=${(e) => open && e.key === "Enter" && location.assign(`#/operations/jobs/${typed.trim()}`)} autocomplete="off" spellcheck="false" data-search />
      <datalist id="jobs-completions">${completions(typed, known).map((c) => html`<option key=${c} value=${c}></option>`)}</datalist>
      ${open && html`<a class="button" href=${`#/operations/jobs/${typed.trim()}`}>${t("jobs.open", { id: typed.trim() })}</a>`}
      <p id="jobs-search-help" class="hidden">${t("jobs.search_help")}</p>
    </div>`;
}
