/** The servers that share a queue, and the other servers this one uses. */
import { html } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { ago, decimal, moment } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { lang } from "../../lib/settings.js";
import { Failure, Pill } from "../bits.js";

const KINDS = { up: "ok", degraded: "warn", down: "bad" };

/** @param {{ctx: import("../../app.js").PageContext, every: number}} props */
export function Nodes({ ctx, every }) {
  const nodes = useResource((signal) => ctx.api.get("/admin/v1/nodes", null, signal), [], { stream: ctx.stream, every, keep: "ops nodes" });
  const list = [...(nodes.data ?? [])].sort((a, b) => a.name.localeCompare(b.name));
  const missing = list.filter((node) => node.missing).length;
  return html`
    <section class="section" aria-labelledby="ops-nodes">
      <div class="section-head"><h2 id="ops-nodes">${t("nodes.title")}</h2>
        ${list.length > 0 && html`<span class=${missing ? "bad-text" : "muted"}>${t(missing ? "nodes.some_missing" : "nodes.count", { n: list.length, missing })}</span>`}</div>
      ${!nodes.data && nodes.error && html`<${Failure} error=${nodes.error} retry=${nodes.reload} />`}
      ${list.length > 0 && html`
      <table class="data data-nodes"><thead><tr>
        <th scope="col">${t("nodes.name")}</th><th scope="col">${t("nodes.state")}</th><th scope="col">${t("nodes.roles")}</th><th scope="col">${t("ops.lanes")}</th>
        <th scope="col">${t("drivers.title")}</th><th scope="col">${t("ops.version")}</th><th scope="col">${t("nodes.started")}</th><th scope="col">${t("nodes.seen")}</th></tr></thead>
        <tbody>${list.map((node) => html`<${Node} key=${node.name} node=${node} />`)}</tbody></table>`}
    </section>`;
}

function Node({ node }) {
  const language = lang.value;
  const now = useNow();
  const state = node.missing ? "missing" : node.ready ? "ready" : "starting";
  return html`
    <tr data-node=${node.name}>
      <td class="c-plugin"><b>${node.name}</b> ${node.self && html`<span class="muted">${t("nodes.self")}</span>`}</td>
      <td data-label=${t("nodes.state")}><${Pill} kind=${{ missing: "bad", ready: "ok", starting: "idle" }[state]}>${t(`nodes.${state}`)}</${Pill}></td>
      <td class="c-wide" data-label=${t("nodes.roles")}>${node.roles.join(" · ")}${node.leads && !node.missing && html` <${Pill} kind="ok" title=${t("nodes.leads_text")}>${t("nodes.leads")}</${Pill}>`}</td>
      <td class="c-wide" data-label=${t("ops.lanes")}>${["web", "job"].filter((kind) => node.lanes[kind] > 0).map((kind) => t(`nodes.${kind}`, { n: node.lanes[kind] })).join(" · ") || "–"}</td>
      <td class="c-wide" data-label=${t("drivers.title")}><${Health} drivers=${node.missing ? [] : node.drivers} /></td>
      <td data-label=${t("ops.version")}>${node.version}</td>
      <td data-label=${t("nodes.started")} title=${moment(node.started_at, language)}>${ago(node.started_at, now, language)}</td>
      <td data-label=${t("nodes.seen")} title=${moment(node.seen_at, language)}>${ago(node.seen_at, now, language)}</td>
    </tr>`;
}

/** What is wrong by name, or that nothing is. */
function Health({ drivers }) {
  const bad = (drivers ?? []).filter((driver) => driver.state !== "up");
  if (!drivers?.length) return html`<span class="muted">–</span>`;
  if (!bad.length) return html`<${Pill} kind="ok">${t("drivers.all_up", { n: drivers.length })}</${Pill}>`;
  return bad.map((driver) => html`<${Pill} kind=${KINDS[driver.state]} title=${driver.error ?? ""}>${driver.kind} ${t(`drivers.${driver.state}`)}</${Pill}> `);
}

/** @param {{ctx: import("../../app.js").PageContext, every: number}} props */
export function Drivers({ ctx, every }) {
  const drivers = useResource((signal) => ctx.api.get("/admin/v1/drivers", null, signal), [], { stream: ctx.stream, every, keep: "ops drivers" });
  const list = drivers.data ?? [];
  return html`
    <section class="section" aria-labelledby="ops-drivers">
      <div class="section-head"><h2 id="ops-drivers">${t("drivers.title")}</h2></div>
      ${!drivers.data && drivers.error && html`<${Failure} error=${drivers.error} retry=${drivers.reload} />`}
      ${drivers.data && list.length === 0 && html`<p class="muted" data-embedded>${t("drivers.none")}</p>`}
      ${list.length > 0 && html`<ul class="drivers">${list.map((driver) => html`<${Driver} key=${`${driver.kind} ${driver.driver}`} driver=${driver} />`)}</ul>`}
    </section>`;
}

function Driver({ driver }) {
  const language = lang.value;
  const now = useNow();
  return html`
    <li class=${`driver driver-${driver.state}`} data-driver=${driver.kind}>
      <p class="driver-head"><b>${driver.kind}</b> <span class="muted">${driver.driver}</span>
        <${Pill} kind=${KINDS[driver.state]} title=${moment(driver.since, language)}>${t(`drivers.${driver.state}`)} · ${ago(driver.since, now, language)}</${Pill}></p>
      ${(driver.address || driver.latency_ms) && html`<p class="mono muted driver-address">${driver.address}${driver.latency_ms ? html` <span title=${t("drivers.latency")}>${decimal(driver.latency_ms, language)} ms</span>` : ""}</p>`}
      ${driver.error && html`<p class=${driver.state === "down" ? "bad-text" : ""}>${driver.error}${driver.required ? "" : html` <span class="muted">${t("drivers.optional")}</span>`}</p>`}
    </li>`;
}
