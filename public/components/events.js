/** One surge as a row, wherever events are listed. */
import { html } from "../lib/html.js";
import { useNow } from "../lib/hooks.js";
import { ago, count, decimal, moment } from "../lib/format.js";
import { pick, t } from "../lib/i18n.js";
import { eventHref } from "../lib/route.js";
import { lang } from "../lib/settings.js";
import { Pill, Platform } from "./bits.js";

const PILL = { PENDING: "warn", ANALYZED: "ok", FAILED: "bad" };

/** @param {{status: string}} props */
export function EventStatus({ status }) {
  return html`<${Pill} kind=${PILL[status] ?? "idle"}>${t(`event.${status}`)}</${Pill}>`;
}

/**
 * @param {{events: any[], current?: number|null, named?: boolean, address?: (id: number) => string}} props
 *   `named`: show whose event it is; `address`: where a row leads
 */
export function EventList({ events, current = null, named = true, address = eventHref }) {
  const now = useNow();
  return html`<ul class="events">${events.map((event) => html`
    <li key=${event.id} class=${event.id === current ? "event event-current" : "event"} data-event=${event.id}>
      <a class="event-link" href=${address(event.id)} aria-current=${event.id === current ? "true" : null} data-row>
        <span class="event-ratio">${t("event.times", { ratio: decimal(event.ratio, lang.value) })}</span>
        <span class="event-main">
          <span class="event-name">${named ? event.channel_name : moment(event.detected_at, lang.value)}</span>${named && html` <${Platform} name=${event.platform} />`}
        </span>
        <span class="event-when" title=${moment(event.detected_at, lang.value)}>${ago(event.detected_at, now, lang.value)}</span>
        <span class="event-more clip">${pick(event.analysis?.summary) || event.title}</span>
        <span class="event-numbers">${t("event.from_to", { baseline: count(event.baseline, lang.value), viewers: count(event.viewers, lang.value) })}</span>
        <span class="event-status"><${EventStatus} status=${event.status} /></span>
      </a>
    </li>`)}</ul>`;
}
