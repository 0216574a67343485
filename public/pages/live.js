/** The live board: who is on air now, how many watch, and who is rising. */
import { html, render, useEffect, useRef, useState } from "../lib/html.js";
import { useResource, useSettled, useSignal } from "../lib/hooks.js";
import { fetchBoard, filterFromQuery, PAGE, queryFromFilter, sortBy } from "../lib/board.js";
import { count } from "../lib/format.js";
import { platformName, t } from "../lib/i18n.js";
import { href, parseRoute } from "../lib/route.js";
import { lang } from "../lib/settings.js";
import { Choice } from "../components/bits.js";
import { Board, NothingLive } from "../components/board.js";
import { Tiles } from "../components/tiles.js";

const SORTS = ["viewers", "delta", "started"];

/** @param {HTMLElement} root @param {import("../app.js").PageContext} ctx */
export function mount(root, ctx) {
  ctx.title.value = t("nav.live");
  render(html`<${LivePage} ctx=${ctx} />`, root);
  return () => render(null, root);
}

function LivePage({ ctx }) {
  const language = useSignal(lang);
  const route = useSignal(ctx.route);
  const [filter, setFilter] = useState(() => filterFromQuery(route.query));
  const [wanted, setWanted] = useState(PAGE);
  const q = useSettled(filter.q, 200);
  const asked = { ...filter, q };
  const address = href("/live", queryFromFilter(asked));

  const summary = useResource((signal) => ctx.api.get("/api/live/summary", null, signal), [],
    { stream: ctx.stream, on: ["live", "event"], keep: "summary" });
  const board = useResource(
    (signal) => fetchBoard((query) => ctx.api.get("/api/live", query, signal), asked, wanted)
      .then((answer) => ({ ...answer, question: `${address} ${wanted}` })),
    [address, wanted], { stream: ctx.stream, on: ["live"], keep: "board" },
  );
  const change = (part) => {
    setWanted(PAGE);
    setFilter((f) => ({ ...f, ...part }));
  };

  useEffect(() => {
    // Asked of the address itself: somebody may have left already, and the route not heard of it.
    if (parseRoute(location.hash).page === "live") history.replaceState(history.state, "", address);
  }, [address]);
  useSearchFromAddress(route, address, setFilter);
  useEffect(() => {
    ctx.title.value = t("nav.live");
    if (summary.data) ctx.simulated.value = Boolean(summary.data.simulated);
  }, [language, summary.data]);

  const data = board.data;
  const filtered = Boolean(asked.platform || asked.category || asked.q);
  return html`
    <h1 class="hidden">${t("nav.live")}</h1>
    <${Tiles} summary=${summary} />
    <${Toolbar} filter=${filter} change=${change} summary=${summary.data} />
    <p class="hidden" role="status">${data ? t("board.found", { n: count(data.total_lives, language) }) : ""}</p>
    <${Board} data=${data} loading=${board.loading} error=${board.error}
      filter=${asked} sort=${(key) => change(sortBy(filter, key))} retry=${board.reload}
      empty=${html`<${NothingLive} summary=${summary} filtered=${filtered} clear=${() => change({ platform: "", category: "", q: "" })} />`} />
    ${data && data.lives.length > 0 && html`
      <div class="more">
        <span class="muted">${t("board.shown", { n: count(data.lives.length, language), total: count(data.total_lives, language) })}</span>
        ${data.next && html`<button class="button" disabled=${board.loading && wanted > data.lives.length} onClick=${() => setWanted(data.lives.length + PAGE)} data-more>${t("board.more")}</button>`}
      </div>`}`;
}

function Toolbar({ filter, change, summary }) {
  const platforms = summary?.platforms.map((p) => p.platform) ?? ["chzzk", "soop"];
  const categories = (summary?.categories ?? []).map((c) => c.category).filter(Boolean);
  if (filter.category && !categories.includes(filter.category)) categories.unshift(filter.category);
  return html`
    <div class="toolbar" role="search" aria-label=${t("board.filter")}>
      <${Choice} name="platform" label=${t("board.platform")} value=${filter.platform} onChange=${(platform) => change({ platform })}
        options=${[["", t("all")], ...platforms.map((p) => [p, platformName(p)])]} />
      <select class="field field-category" aria-label=${t("board.category")} value=${filter.category} onChange=${(e) => change({ category: e.target.value })} data-category>
        <option value="">${t("board.any_category")}</option>
        ${categories.map((c) => html`<option key=${c} value=${c}>${c}</option>`)}
      </select>
      <label class="search"><span class="hidden">${t("board.search")}</span>
        <input class="field" type="search" placeholder=${t("board.search")} value=${filter.q} onInput=${(e) => change({ q: e.target.value })} data-search autocomplete="off" enterkeyhint="search" />
        <kbd aria-hidden="true">/</kbd></label>
      <select class="field field-sort" aria-label=${t("board.sort")} value=${filter.sort} onChange=${(e) => change({ sort: e.target.value, order: "desc" })} data-sort>
        ${SORTS.map((key) => html`<option key=${key} value=${key}>${t(`sort.${key}`)}</option>`)}
      </select>
    </div>`;
}

/** An address typed or a link followed on this page changes the filter; our own replaceState does not. */
function useSearchFromAddress(route, address, setFilter) {
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
    } else if (route.page === "live" && location.hash !== address) {
      setFilter(filterFromQuery(route.query));
    }
  }, [route]);
}
