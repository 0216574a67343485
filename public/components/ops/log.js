/** The recent log, followed until scrolled up; with words in the box, the lines that have them. */
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../lib/html.js";
import { clock } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { joinLines } from "../../lib/rates.js";
import { lang } from "../../lib/settings.js";
import { Choice } from "../bits.js";
import { Found, RANGES } from "./log_search.js";

const LEVELS = ["debug", "info", "warn", "error"];
const MOST = 400;
const EVERY = 2000;

/** @param {{ctx: import("../../app.js").PageContext}} props */
export function Log({ ctx }) {
  const [level, setLevel] = useState("info");
  const [follow, setFollow] = useState(true);
  const [words, setWords] = useState("");
  const [range, setRange] = useState("1d");
  const { lines, error } = useTail(ctx, level);
  const box = useRef(null);

  useLayoutEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, follow, words]);
  const onScroll = () => {
    if (!box.current) return; /* a scroll is told of with the next frame; the log may be gone by then */
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    setFollow(scrollHeight - scrollTop - clientHeight < 24);
  };
  return html`
    <section class="section" aria-labelledby="ops-log">
      <div class="section-head"><h2 id="ops-log">${t("ops.log")}</h2>
        ${!words && html`<label class="check"><input type="checkbox" checked=${follow} onChange=${(e) => setFollow(e.target.checked)} /> ${t("ops.log_follow")}</label>`}
        <${Choice} name="log-level" label=${t("ops.log_level")} value=${level} onChange=${setLevel} options=${LEVELS.map((l) => [l, t(`ops.level.${l}`)])} /></div>
      <div class="log-search">
        <input class="field" type="search" value=${words} placeholder=${t("ops.log_search")} aria-label=${t("ops.log_search")} title=${t("ops.log_search_help")}
          onInput=${(e) => setWords(e.target.value)} autocomplete="off" spellcheck="false" data-log-search />
        ${words && html`<${Choice} name="log-range" label=${t("ops.log_range")} value=${range} onChange=${setRange} options=${Object.keys(RANGES).map((r) => [r, t(`ops.log_range.${r || "all"}`)])} />`}</div>
      ${words ? html`<${Found} ctx=${ctx} words=${words} level=${level} range=${range} />` : html`<div class=${`log${error ? " log-stale" : ""}`} role="log" aria-live="off" aria-labelledby="ops-log" tabindex="0" ref=${box} onScroll=${onScroll} title=${error ? t("ops.stale") : null} data-log>
        ${lines?.length === 0 && html`<p class="muted">${t("ops.log_empty")}</p>`}
        ${(lines ?? []).map((line) => html`
          <div key=${line.seq} class=${`log-line log-${line.level}`}>
            <time>${clock(line.at, lang.value)}</time><span class="log-level">${line.level}</span><span class="log-area">${line.plugin ?? line.area}</span>
            <span class="log-text">${line.message} <span class="log-fields">${fields(line.fields)}</span></span>
          </div>`)}
      </div>`}
    </section>`;
}

function useTail(ctx, level) {
  const [state, setState] = useState({ lines: null, error: null });
  useEffect(() => {
    const controller = new AbortController();
    let timer = 0;
    let kept = [];
    setState({ lines: null, error: null });
    const look = async () => {
      try {
        const after = kept.length > 0 ? kept[kept.length - 1].seq : null;
        const answer = document.hidden ? null
          : await ctx.api.get("/admin/v1/logs", { level, after, limit: 200 }, controller.signal);
        if (controller.signal.aborted) return;
        if (answer) kept = joinLines(kept, answer, MOST);
        setState((s) => (s.lines === kept && !s.error ? s : { lines: kept, error: null }));
      } catch (error) {
        if (controller.signal.aborted) return;
        setState((s) => ({ ...s, error }));
      }
      timer = setTimeout(look, EVERY);
    };
    look();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [level]);
  return state;
}

function fields(values) {
  return Object.entries(values ?? {})
    .map(([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : value}`).join("  ");
}
