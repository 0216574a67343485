/** The summary above the board: totals, and each platform with what ails it. */
import { html } from "../lib/html.js";
import { useNow, useSignal } from "../lib/hooks.js";
import { ago, clock, count } from "../lib/format.js";
import { platformName, reason, t } from "../lib/i18n.js";
import { lang } from "../lib/settings.js";
import { Num, Pill } from "./bits.js";

const PILL = { ok: "ok", error: "bad", open: "bad", never: "idle" };

/** @param {{summary: import("../lib/hooks.js").Resource<any>}} props */
export function Tiles({ summary }) {
  const language = useSignal(lang);
  const now = useNow();
  const data = summary.data;
  const platforms = data?.platforms ?? [{ platform: "chzzk" }, { platform: "soop" }];
  return html`
    <section class="tiles" aria-label=${t("summary")} aria-busy=${!data}>
      <div class="tile tile-total">
        <h2>${t("summary.viewers")}</h2>
        <p class="tile-number"><${Num} value=${data?.total_viewers} text=${count(data?.total_viewers, language)} /></p>
        <${Share} platforms=${data?.platforms ?? []} total=${data?.total_viewers ?? 0} />
      </div>
      <div class="tile tile-small">
        <h2>${t("summary.lives")}</h2>
        <p class="tile-number"><${Num} value=${data?.total_lives} text=${count(data?.total_lives, language)} /></p>
        <p class="tile-foot" title=${data?.as_of ?? ""}>${data?.as_of ? t("as_of", { at: clock(data.as_of, language) }) : "\u00a0"}</p>
      </div>
      <div class="tile tile-small">
        <h2>${t("summary.events")}</h2>
        <p class="tile-number"><${Num} value=${data?.events_today} text=${count(data?.events_today, language)} /></p>
        <p class="tile-foot"><a href="#/events">${t("summary.see_events")}</a></p>
      </div>
      ${platforms.map((p) => html`<${PlatformTile} key=${p.platform} platform=${p} now=${now} language=${language} />`)}
    </section>`;
}

function PlatformTile({ platform: p, now, language }) {
  const known = Boolean(p.status);
  return html`
    <div class=${`tile tile-platform tile-${p.platform}${p.error ? " tile-broken" : ""}`} data-platform=${p.platform}>
      <h2>${platformName(p.platform)}
        ${known && html`<${Pill} kind=${PILL[p.status] ?? "idle"} title=${p.source ? t(`source.${p.source}`) : ""}>${t(`status.${p.status}`)}</${Pill}>`}
      </h2>
      <p class="tile-number"><${Num} value=${p.viewers} text=${count(p.viewers, language)} />
        <span class="tile-unit">${known ? t("tile.lives", { n: count(p.lives, language) }) : ""}</span></p>
      <p class="tile-foot" title=${p.error ?? ""}>
        ${p.error ? html`<span class="bad-text" data-platform-error>${reason(p.error)}</span>` : known ? when(p, now, language) : "\u00a0"}</p>
    </div>`;
}

function when(p, now, language) {
  if (!p.collected_at) return p.next_at ? t("tile.first", { next: ago(p.next_at, now, language) }) : t("tile.never");
  const next = p.next_at && Date.parse(p.next_at) > now ? ` · ${t("tile.next", { next: ago(p.next_at, now, language) })}` : "";
  return ago(p.collected_at, now, language) + next;
}

/** Whose viewers they are, as a two-coloured bar. */
function Share({ platforms, total }) {
  return html`<div class="share" aria-hidden="true">
    ${total > 0 && platforms.map((p) => html`<span key=${p.platform} class=${`share-${p.platform}`} style=${{ width: `${(100 * p.viewers) / total}%` }}></span>`)}
  </div>`;
}
