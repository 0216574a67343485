/** The table of lives: keyed rows that slide to new ranks, and stay put while somebody is using them. */
import { html, useLayoutEffect, useRef, useState } from "../lib/html.js";
import { useNow, useSignal } from "../lib/hooks.js";
import { holdOrder, liveKey } from "../lib/board.js";
import { ago, count, decimal, duration, millis, signed } from "../lib/format.js";
import { platformName, reason, t } from "../lib/i18n.js";
import { channelHref } from "../lib/route.js";
import { lang } from "../lib/settings.js";
import { Delta, Failure, Note, Num, Platform, Spark, Surge } from "./bits.js";

const SKELETON = Array.from({ length: 12 }, (_, i) => i);
const SLIDE = { duration: 450, easing: "cubic-bezier(.2,.7,.2,1)" };
const COLUMNS = [["rank"], ["channel"], ["category"], ["viewers", "viewers"], ["delta", "delta"], ["average"], ["trend"], ["started", "started"]];

/**
 * @param {Object} props
 * @param {{lives: import("../lib/board.js").Live[], question: string}|null} props.data
 * @param {boolean} props.loading
 * @param {any} props.error
 * @param {import("../lib/board.js").Filter} props.filter
 * @param {(key: string) => void} props.sort
 * @param {() => void} props.retry
 * @param {any} props.empty           shown when there are no lives
 */
export function Board({ data, loading, error, filter, sort, retry, empty }) {
  useSignal(lang);
  const [held, setHeld] = useState(false);
  const lives = useHeld(data, held);
  const body = useSlide(lives);
  if (!data && error) return html`<${Failure} error=${error} retry=${retry} />`;
  if (data && data.lives.length === 0) return empty;
  return html`
    <table class=${`board${error ? " board-stale" : ""}`} aria-busy=${loading && !data} data-board>
      <caption class="hidden">${t("nav.live")}</caption>
      <thead><tr>${COLUMNS.map(([name, key]) => html`<${Head} key=${name} name=${name} sortKey=${key} filter=${filter} sort=${sort} />`)}</tr></thead>
      <tbody ref=${body}
        onPointerEnter=${(e) => e.pointerType === "mouse" && setHeld(true)} onPointerLeave=${() => setHeld(false)}
        onFocusIn=${() => setHeld(true)} onFocusOut=${() => setHeld(false)}>
        ${lives ? lives.map((live, i) => html`<${Row} key=${liveKey(live)} live=${live} rank=${i + 1} />`)
          : SKELETON.map((i) => html`<tr key=${i} class="skeleton" aria-hidden="true"><td colspan=${COLUMNS.length}><i style=${{ width: `${70 - (i * 13) % 40}%` }}></i></td></tr>`)}
      </tbody>
    </table>`;
}

function Head({ name, sortKey, filter, sort }) {
  const on = sortKey && filter.sort === sortKey;
  const order = on ? (filter.order === "asc" ? "ascending" : "descending") : sortKey ? "none" : null;
  return html`<th scope="col" class=${`col-${name}`} aria-sort=${order}>
    ${sortKey ? html`<button onClick=${() => sort(sortKey)} data-sort-by=${sortKey}><span class="sort-mark" aria-hidden="true">${on ? (filter.order === "asc" ? "▲" : "▼") : ""}</span>${t(`col.${name}`)}</button>` : t(`col.${name}`)}
  </th>`;
}

function Row({ live, rank }) {
  const language = lang.value;
  const change = html`<${Delta} value=${live.delta} text=${signed(live.delta, language)} />`;
  return html`
    <tr class=${live.gone ? "row-gone" : ""} data-key=${liveKey(live)}>
      <td class="col-rank">${rank}</td>
      <td class="col-channel">
        <a class="row-link" href=${channelHref(live.platform, live.channel_id)} data-row>
          <span class="name">${live.channel_name}</span></a>
        <${Platform} name=${live.platform} />${live.surge && html`<${Surge} />`}${live.adult && html`<span class="adult" title=${t("adult")}>19</span>`}
        <span class="title" title=${live.title}>${live.title}</span>
      </td>
      <td class="col-category"><span class="clip" title=${live.category}>${live.category ?? "–"}</span></td>
      <td class="col-viewers"><${Num} value=${live.viewers} text=${count(live.viewers, language)} /><small class="under">${change}</small></td>
      <td class="col-delta">${change}</td>
      <td class="col-average">${live.moving_average === null ? "–" : decimal(live.moving_average, language, 0)}</td>
      <td class="col-trend"><${Spark} values=${live.sparkline} hot=${live.surge} /></td>
      <td class="col-started"><${OnAir} at=${live.started_at} /></td>
    </tr>`;
}

/** Its own component, so that the clock redraws eight characters instead of the row. */
function OnAir({ at }) {
  const minute = Math.floor(useNow() / 60000) * 60;
  return at ? duration(Math.floor((minute - millis(at) / 1000) / 60) * 60, lang.value) : "–";
}

/** While held, new numbers go into the old order; an answer to another question releases it. */
function useHeld(data, held) {
  const shown = useRef({ question: "", lives: null });
  if (!data) return null;
  const before = shown.current;
  const hold = held && before.lives && before.question === data.question;
  const lives = hold ? holdOrder(before.lives, data.lives) : data.lives;
  shown.current = { question: data.question, lives };
  return lives;
}

/**
 * Rows that change places start where they were and slide (so nothing jumps, and the browser counts
 * no layout shift). Transforms only; where motion is unwelcome the rows change places at once.
 */
function useSlide(lives) {
  const body = useRef(null);
  const tops = useRef(new Map());
  const order = lives ? lives.map(liveKey).join(" ") : "";
  useLayoutEffect(() => {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const next = new Map();
    for (const row of body.current?.rows ?? []) {
      const key = row.dataset.key;
      if (!key) continue;
      next.set(key, row.offsetTop);
      const old = tops.current.get(key);
      if (old === undefined || old === row.offsetTop || calm) continue;
      row.animate([{ transform: `translateY(${old - row.offsetTop}px)` }, { transform: "none" }], SLIDE);
    }
    tops.current = next;
  }, [order]);
  return body;
}

/** Instead of an empty table: what is known about why it is empty. */
export function NothingLive({ summary, filtered, clear }) {
  const language = useSignal(lang);
  const now = useNow();
  if (filtered) {
    return html`<${Note} title=${t("board.no_match")}><button class="button" onClick=${clear} data-clear>${t("board.clear")}</button></${Note}>`;
  }
  if (!summary.data && !summary.error) return null;
  const platforms = summary.data?.platforms ?? [];
  const broken = platforms.filter((p) => p.error);
  return html`
    <${Note} kind=${broken.length ? "bad" : "idle"} title=${t(broken.length ? "board.unreachable" : "board.nothing_yet")}>
      <ul class="reasons">${platforms.map((p) => html`
        <li key=${p.platform}><b>${platformName(p.platform)}</b> ${p.error ? html`<span data-platform-error>${reason(p.error)}</span>` : t(`status.${p.status}`)}
          ${p.next_at && html`<span class="muted"> · ${t("tile.next", { next: ago(p.next_at, now, language) })}</span>`}</li>`)}</ul>
      <p class="muted">${t("board.retries")}</p>
    </${Note}>`;
}
