/** Everything that was submitted, newest first: by status and model, page after page. */
import { API, ENDS } from "./kit.js";

const PAGE = 25;

export function makeResults(kit) {
  const { ctx, html, t, useEffect, useRef, useState, Failure, Note, Row } = kit;

  function usePages(filter, live) {
    const [state, setState] = useState({ rows: null, next: null, error: null, busy: true, newer: false });
    const turn = useRef(0);
    const total = live.update?.statistics?.total_jobs;
    const load = async (cursor, kept) => {
      const mine = ++turn.current;
      setState((now) => ({ ...now, busy: true }));
      try {
        const answer = await ctx.api.get(`${API}/results`, { ...filter, limit: PAGE, cursor });
        if (mine === turn.current) setState({ rows: [...kept, ...answer.results], next: answer.next ?? null, error: null, busy: false, newer: false });
      } catch (error) {
        if (mine === turn.current) setState((now) => ({ ...now, error, busy: false }));
      }
    };
    useEffect(() => {
      setState({ rows: null, next: null, error: null, busy: true, newer: false });
      load(null, []);
    }, [filter.status, filter.model_name]);
    const known = useRef(undefined);
    useEffect(() => {
      if (known.current !== undefined && total !== known.current) setState((now) => ({ ...now, newer: true }));
      known.current = total;
    }, [total]);
    useEffect(() => () => { turn.current++; }, []);
    return { ...state, reload: () => load(null, []), more: () => load(state.next, state.rows ?? []) };
  }

  return function Results({ route, live, models }) {
    const filter = { status: route.query.get("status") ?? "", model_name: route.query.get("model_name") ?? "" };
    const pages = usePages(filter, live);
    const change = (part) => {
      const next = { view: "results", ...filter, ...part };
      location.hash = kit.href(next);
    };
    const names = [...new Set([...(models.data?.models ?? []).map((m) => m.name), ...(filter.model_name ? [filter.model_name] : [])])];
    const filtered = Boolean(filter.status || filter.model_name);
    return html`
      <div class="inf-bar" role="search" aria-label=${t("filter")}>
        <select class="field" aria-label=${t("status")} value=${filter.status} onChange=${(e) => change({ status: e.target.value })} data-filter-status><option value="">${t("any_status")}</option>${ENDS.map((key) => html`<option key=${key} value=${key}>${t(`status.${key}`)}</option>`)}</select>
        <select class="field" aria-label=${t("model")} value=${filter.model_name} onChange=${(e) => change({ model_name: e.target.value })} data-filter-model><option value="">${t("any_model")}</option>${names.map((key) => html`<option key=${key} value=${key}>${kit.modelName(key)}</option>`)}</select>
        <span class="muted inf-shown" role="status" data-shown>${pages.rows ? t("shown", { n: kit.count(pages.rows.length) }) : t("loading")}</span>
        <button class="button" onClick=${pages.reload} disabled=${pages.busy} data-refresh>${t("refresh")}${pages.newer ? html`<span class="inf-newer" title=${t("newer")}><span class="hidden">${t("newer")}</span></span>` : ""}</button>
      </div>
      ${!pages.rows && pages.error ? html`<${Failure} error=${pages.error} retry=${pages.reload} />`
        : pages.rows?.length === 0 ? html`<${Note} title=${t(filtered ? "none_match" : "nothing_yet")}>${filtered ? html`<button class="button" onClick=${() => change({ status: "", model_name: "" })}>${t("clear")}</button>` : html`<a class="button" href=${kit.href({ view: "submit" })}>${t("start")}</a>`}</${Note}>`
          : html`<ul class="inf-rows" aria-busy=${pages.busy} data-results>${(pages.rows ?? Array.from({ length: 10 }, () => null)).map((row, i) => html`<${Row} key=${row?.id ?? i} row=${row} />`)}</ul>`}
      ${pages.rows && pages.error && html`<p class="bad-text" role="alert">${pages.error.message}</p>`}
      ${pages.next && html`<div class="more"><button class="button" disabled=${pages.busy} onClick=${pages.more} data-more>${t("more")}</button></div>`}`;
  };
}
