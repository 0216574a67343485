/** Lines of the log by words, level and time: newest first, hits marked, more at the end. */
import { html, useEffect, useState } from "../../lib/html.js";
import { count, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";

const WAIT = 250;
const PAGE = 100;

/** How far back, in seconds; "" is as far as there is. */
export const RANGES = { "15m": 900, "1h": 3600, "1d": 86400, "7d": 604800, "": null };

/** @param {{ctx: import("../../app.js").PageContext, words: string, level: string, range: string}} props */
export function Found({ ctx, words, level, range }) {
  const found = useFound(ctx, words, level, range);
  const language = lang.value;
  if (found.error) {
    const off = found.error.status === 404;
    return html`<div class="log log-found" data-log-found><p class=${off ? "muted" : "bad-text"} role="status" data-log-problem>${off ? t("ops.log_search_off") : found.error.message}</p></div>`;
  }
  return html`
    <p class="log-total muted" role="status" data-log-total>${found.lines ? t("ops.log_total", { n: count(found.total, language) }) : t("ops.log_searching")}</p>
    <div class="log log-found" role="region" tabindex="0" aria-label=${t("ops.log_found")} data-log-found>
      ${(found.lines ?? []).map((line) => html`
        <div key=${line.id} class=${`log-line log-line-dated log-${line.level}`}>
          <time>${moment(line.at, language)}</time><span class="log-level">${line.level}</span><span class="log-area" title=${line.generation ?? null}>${line.plugin ?? line.area}</span>
          <span class="log-text"><${Parts} parts=${line.highlight?.message} text=${line.message} /> ${line.fields && html`<span class="log-fields"><${Parts} parts=${line.highlight?.fields} text=${line.fields} /></span>`}</span>
        </div>`)}
      ${found.next && html`<p><button class="button" onClick=${found.more} data-log-more>${t("ops.log_more")}</button></p>`}
    </div>`;
}

/** Text as it came, what was looked for marked: never markup of the log's. */
export function Parts({ parts, text }) {
  if (!parts) return text;
  return parts.map((part, i) => (part.hit ? html`<mark key=${i}>${part.text}</mark>` : part.text));
}

const NOTHING = { lines: null, total: 0, next: null, error: null };

function useFound(ctx, words, level, range) {
  const [state, setState] = useState(NOTHING);
  const look = async (after, signal, kept) => {
    const seconds = RANGES[range];
    try {
      const answer = await ctx.api.get("/admin/v1/logs/search",
        { q: words, level, since: seconds ? `${seconds}s` : null, limit: PAGE, after }, signal);
      if (signal?.aborted) return;
      setState({ lines: [...kept, ...answer.hits], total: answer.total, next: answer.next ?? null, error: null });
    } catch (error) {
      if (!signal?.aborted) setState({ ...NOTHING, error });
    }
  };
  useEffect(() => {
    const controller = new AbortController();
    const timer = setTimeout(() => look(null, controller.signal, []), WAIT);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [words, level, range]);
  return { ...state, more: () => look(state.next, null, state.lines) };
}
