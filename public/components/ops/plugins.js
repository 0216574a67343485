/** Plugins in service: generation, state, cost, last error, and reload with what came of it. */
import { html, useRef, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { search } from "../../lib/api.js";
import { ago, bytes, count, decimal, moment, percent } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { shares } from "../../lib/rates.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Num, Pill } from "../bits.js";
import { Details, Notices, short } from "./plugin.js";

const PILL = { serving: "ok", loading: "warn", ready: "warn", draining: "warn", failed: "bad", stopped: "idle", quarantined: "bad" };
const COLUMNS = ["plugin", "state", "generation", "loaded", "requests", "faults", "p99", "memory", "cpu"];

/** @param {{ctx: import("../../app.js").PageContext, every: number}} props */
export function Plugins({ ctx, may, every }) {
  const plugins = useResource((signal) => ctx.api.get("/admin/v1/plugins", null, signal), [], { stream: ctx.stream, every, keep: "ops plugins" });
  const [busy, setBusy] = useState("");
  const [outcome, setOutcome] = useState(null);
  const [opened, setOpened] = useState("");
  const cpu = useShares(plugins);

  /** verb: reload (name "" = all), rollback or release. */
  const act = async (name, verb, query) => {
    setBusy(name || "*");
    const path = name ? `/admin/v1/plugins/${encodeURIComponent(name)}/${verb}` : "/admin/v1/reload";
    try {
      const { plan, took_ms } = await ctx.api.post(path + search(query));
      setOutcome({ ok: true, plan, took_ms, errors: [], name, verb });
    } catch (error) {
      setOutcome({ ok: false, errors: error.body?.errors ?? [{ plugin: name, message: error.message }], name, verb });
    }
    setBusy("");
    plugins.reload();
  };
  const reload = (name) => act(name, "reload");
  return html`
    <section class="section" aria-labelledby="ops-plugins">
      <div class="section-head"><h2 id="ops-plugins">${t("ops.plugins")}</h2>
        ${may && html`<button class="button button-small" disabled=${busy !== ""} onClick=${() => reload("")} data-reload-all>${t("ops.reload_all")}</button>`}</div>
      <div aria-live="polite"><${Outcome} outcome=${outcome} busy=${busy} act=${act} close=${() => setOutcome(null)} /></div>
      ${!plugins.data && plugins.error ? html`<${Failure} error=${plugins.error} retry=${plugins.reload} />` : html`
      <table class="data data-plugins">
        <thead><tr>${COLUMNS.map((name) => html`<th key=${name} scope="col" class=${`c-${name}`}>${t(`ops.${name}`)}</th>`)}<th class="c-act"></th></tr></thead>
        <tbody>${(plugins.data ?? []).map((p) => html`
          <${Row} key=${p.name} plugin=${p} may=${may} cpu=${cpu[p.name]} busy=${busy} reload=${reload} opened=${opened === p.name} open=${() => setOpened(opened === p.name ? "" : p.name)} />
          <${Notices} key=${`${p.name} notices`} plugin=${p} may=${may} busy=${busy} act=${act} />
          ${opened === p.name && html`<${Details} key=${`${p.name} details`} ctx=${ctx} may=${may} plugin=${p} every=${every} busy=${busy} act=${act} />`}`)}</tbody>
      </table>`}
      ${plugins.data?.length === 0 && html`<${Note} title=${t("ops.nothing")} />`}
    </section>`;
}

function Row({ plugin: p, may, cpu, busy, reload, opened, open }) {
  const language = lang.value;
  const now = useNow();
  const mine = busy === p.name || busy === "*";
  return html`
    <tr data-plugin=${p.name}>
      <td class="c-plugin"><button class="plain" aria-expanded=${opened} onClick=${open} data-open=${p.name}>${p.name}</button> <span class="muted">${p.version}</span></td>
      <td data-label=${t("ops.state")}><${Pill} kind=${PILL[p.state] ?? "idle"}>${t(`ops.state.${p.state}`)}</${Pill}></td>
      <td data-label=${t("ops.generation")} class="mono" title=${p.generation}>${short(p.generation)}</td>
      <td data-label=${t("ops.loaded")} title=${moment(p.loaded_at, language)}>${ago(p.loaded_at, now, language)}</td>
      <td data-label=${t("ops.requests")} class="c-number"><${Num} value=${p.requests} text=${count(p.requests, language)} /></td>
      <td data-label=${t("ops.faults")} title=${t("ops.faults_are")} class=${`c-number${p.faults > 0 ? " bad-text" : ""}`}><${Num} value=${p.faults} text=${count(p.faults, language)} /></td>
      <td data-label=${t("ops.p99")} class="c-number" title=${t("ops.p50", { n: decimal(p.p50_ms, language) })}>${decimal(p.p99_ms, language)} ms</td>
      <td data-label=${t("ops.memory")} class="c-number">${bytes(p.memory_bytes, language)}</td>
      <td data-label=${t("ops.cpu")} class="c-number" title=${t("ops.cpu_total", { n: decimal(p.cpu_seconds, language) })}>${percent(cpu, language)}</td>
      <td class="c-act">${may && html`<button class="button button-small" disabled=${busy !== ""} onClick=${() => reload(p.name)} data-reload=${p.name}>${t(mine ? "ops.reloading" : "ops.reload")}</button>`}</td>
    </tr>
    ${p.last_error && html`<tr class="row-error"><td colspan="10"><span class="muted">${t("ops.last_error", { at: moment(p.last_error.at, language) })}</span> <code>${p.last_error.message}</code></td></tr>`}`;
}

/** The plan as carried out, or the error with its file and line; what was refused may be allowed from here. */
function Outcome({ outcome, busy, act, close }) {
  if (!outcome) return null;
  const { errors } = outcome;
  const lines = outcome.ok ? (outcome.plan ?? []).map(stepText) : errors.map((error) => error.message);
  const refused = errors.filter((e) => e.refused).map((e) => e.plugin);
  return html`
    <div class=${`outcome ${outcome.ok ? "outcome-ok" : "outcome-bad"}`} data-outcome=${outcome.ok ? "ok" : "failed"}>
      <p><b>${!outcome.ok ? t("ops.reload_failed") : outcome.verb === "release" ? t("ops.released", { plugin: outcome.name }) : t("ops.reload_took", { ms: decimal(outcome.took_ms, lang.value) })}</b></p>
      <ul class="mono">${lines.map((line) => html`<li>${line}</li>`)}</ul>
      ${errors.map((e) => "kept" in e && html`<p class="muted">${e.kept ? t("ops.kept", { kept: short(e.kept) }) : t("ops.none_serving")}</p>`)}
      ${refused.map((name) => html`<button key=${name} class="button button-small" disabled=${busy !== ""} data-allow=${name} onClick=${() => act(name, "reload", { allow: true })}>${t("ops.allow", { plugin: name })}</button>`)}
      <button class="icon-button" onClick=${close} aria-label=${t("close")}>✕</button>
    </div>`;
}

function stepText(step) {
  const text = step.action === "keep" ? t("ops.reload_keep", step)
    : t("ops.reloaded", { ...step, from: short(step.from), to: short(step.to) });
  const { added = [], removed = [] } = step.permissions ?? {};
  return [text, ...added.map((entry) => `+ ${entry}`), ...removed.map((entry) => `− ${entry}`)].join("  ");
}

function useShares({ data, at }) {
  const look = useRef({ last: null, shares: {} });
  if (data && look.current.last?.at !== at) {
    const now = { at, values: Object.fromEntries(data.map((p) => [p.name, p.cpu_seconds])) };
    look.current = { last: now, shares: shares(look.current.last, now) };
  }
  return look.current.shares;
}
