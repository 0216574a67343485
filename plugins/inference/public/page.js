/** Inference: what goes through, what came of it, and a place to try one's own series. */
import { makeBacktest } from "./backtest.js";
import { makeCharts } from "./chart.js";
import { API, makeKit } from "./kit.js";
import { openLive } from "./live.js";
import { makeModels } from "./models.js";
import { makeOverview } from "./overview.js";
import { makeInput } from "./input.js";
import { makeResult } from "./result.js";
import { makeResults } from "./results.js";
import { makeRow } from "./row.js";
import { makeSubmit } from "./submit.js";

const TABS = ["overview", "submit", "results", "models", "backtest"];
/** How often what the socket does not say is asked for, and all of it while there is no socket. */
const EVERY = 4000;

/** @param {HTMLElement} root @param {import("/app.js").PageContext} ctx */
export function mount(root, ctx) {
  const { html, render } = ctx.markup;
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("./page.css", import.meta.url).href;
  const kit = makeKit(ctx);
  const Page = makePage({ ...kit, ...makeCharts(kit) });
  let gone = false;
  /* Drawn once it has its looks: nothing jumps. */
  style.onload = style.onerror = () => gone || render(html`<${Page} />`, root);
  document.head.append(style);
  return () => {
    gone = true;
    render(null, root);
    style.remove();
  };
}

function makePage(kit) {
  const { ctx, html, t, useEffect, useRef, useSignal, useState, useResource } = kit;
  const Result = makeResult(kit);
  const parts = { ...kit, ...makeInput(kit), Row: makeRow(kit) };
  const views = { overview: makeOverview(parts), submit: makeSubmit(parts), results: makeResults(parts), models: makeModels(parts), backtest: makeBacktest(parts) };

  /** `open` is null until the socket has spoken or was lost. */
  function useLive() {
    const [live, setLive] = useState({ update: null, at: 0, open: null });
    useEffect(() => openLive((update) => setLive({ update, at: Date.now(), open: true }), (open) => setLive((now) => (now.open === open ? now : { ...now, open }))), []);
    return live;
  }

  /** Whatever was heard last: the socket's rows, or, while there is none, those that were asked for. */
  function useRecent(live) {
    const asked = useResource((signal) => ctx.api.get(`${API}/results`, { limit: 8 }, signal), [], { stream: ctx.stream, every: live.open ? 0 : EVERY, keep: "inference recent" });
    const rows = asked.data && asked.at > live.at ? asked.data.results : live.update?.recent_results ?? null;
    return { rows, error: rows ? null : asked.error, reload: asked.reload };
  }

  return function Page() {
    const language = useSignal(ctx.lang);
    const route = useSignal(ctx.route);
    const live = useLive();
    const recent = useRecent(live);
    const id = route.query.get("id") ?? "";
    const asked = route.query.get("view") ?? "overview";
    const view = id ? "results" : TABS.includes(asked) ? asked : "overview";
    const statistics = useResource((signal) => ctx.api.get(`${API}/statistics`, { minutes: 15 }, signal), [], { stream: ctx.stream, every: view === "overview" ? EVERY : 0, keep: "inference statistics" });
    const models = useResource((signal) => ctx.api.get("/api/v1/models", null, signal), [], { stream: ctx.stream, keep: "inference models" });
    useEffect(() => {
      ctx.title.value = t("title");
    }, [language]);
    const first = useRef(route);
    const View = views[view];
    return html`
      <div class="inf" data-inference=${id ? "result" : view}>
        <div class="inf-head"><h1>${t("title")}</h1>
          ${live.open !== null && html`<span class="inf-live" title=${t(live.open ? "live.on_help" : "live.off_help")} data-live=${live.open ? "on" : "off"}><span class=${`dot inf-dot-${live.open ? "on" : "off"}`} aria-hidden="true"></span>${t(live.open ? "live.on" : "live.off")}</span>`}</div>
        <nav class="tabs" aria-label=${t("title")}>${TABS.map((name) => html`
          <a key=${name} href=${kit.href(name === "overview" ? {} : { view: name })} aria-current=${view === name ? "page" : null} data-tab=${name}>${t(`tab.${name}`)}</a>`)}</nav>
        ${id ? html`<${Result} key=${id} id=${id} live=${live} inside=${first.current !== route} />`
          : html`<${View} key=${view} route=${route} live=${live} recent=${recent} statistics=${statistics} models=${models} />`}
      </div>`;
  };
}
