/** Plugins in service: generation, state, cost, last error, and reload with what came of it. */
import { html, useRef, useState } from "../../lib/html.js";
import { useNow, useResource } from "../../lib/hooks.js";
import { ago, bytes, count, decimal, moment, percent } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { shares } from "../../lib/rates.js";
import { lang } from "../../lib/settings.js";
import { Failure, Note, Num, Pill } from "../bits.js";

const PILL = { serving: "ok", loading: "warn", ready: "warn", draining: "warn", failed: "bad", stopped: "idle", quarantined: "bad" };
const COLUMNS = ["plugin", "state", "generation", "loaded", "requests", "errors", "memory", "cpu"];

/** @param {{ctx: import("../../app.js").PageContext, every: number}} props */
export function Plugins({ ctx, every }) {
  const plugins = useResource((signal) => ctx.api.get("/admin/v1/plugins", null, signal), [], { stream: ctx.stream, every, keep: "ops plugins" });
  const [busy, setBusy] = useState("");
  const [outcome, setOutcome] = useState(null);
  const cpu = useShares(plugins);

  const reload = async (name) => {
    setBusy(name || "*");
    try {
      setOutcome(await ctx.api.post(name ? `/admin/v1/plugins/${encodeURIComponent(name)}/reload` : "/admin/v1/reload"));
    } catch (error) {
      setOutcome(error.body?.errors ? error.body : { ok: false, errors: [{ plugin: name, message: error.message }] });
    }
    setBusy("");
    plugins.reload();
  };
  return html`
    <section class="section" aria-labelledby="ops-plugins">
      <div class="section-head"><h2 id="ops-plugins">${t("ops.plugins")}</h2>
        <button class="button button-small" disabled=${busy !== ""} onClick=${() => reload("")} data-reload-all>${t("ops.reload_all")}</button></div>
      <div aria-live="polite"><${Outcome} outcome=${outcome} close=${() => setOutcome(null)} /></div>
      ${!plugins.data && plugins.error ? html`<${Failure} error=${plugins.error} retry=${plugins.reload} />` : html`
      <table class="data data-plugins">
        <thead><tr>${COLUMNS.map((name) => html`<th key=${name} scope="col" class=${`c-${name}`}>${t(`ops.${name}`)}</th>`)}<th class="c-act"></th></tr></thead>
        <tbody>${(plugins.data ?? []).map((p) => html`<${Row} key=${p.name} plugin=${p} cpu=${cpu[p.name]} busy=${busy} reload=${reload} />`)}</tbody>
      </table>`}
      ${plugins.data?.length === 0 && html`<${Note} title=${t("ops.nothing")} />`}
    </section>`;
}

function Row({ plugin: p, cpu, busy, reload }) {
  const language = lang.value;
  const now = useNow();
  const mine = busy === p.name || busy === "*";
  return html`
    <tr data-plugin=${p.name}>
      <td class="c-plugin"><b>${p.name}</b> <span class="muted">${p.version}</span></td>
      <td data-label=${t("ops.state")}><${Pill} kind=${PILL[p.state] ?? "idle"}>${t(`ops.state.${p.state}`)}</${Pill}></td>
      <td data-label=${t("ops.generation")} class="mono" title=${p.generation}>${short(p.generation)}</td>
      <td data-label=${t("ops.loaded")} title=${moment(p.loaded_at, language)}>${ago(p.loaded_at, now, language)}</td>
      <td data-label=${t("ops.requests")} class="c-number"><${Num} value=${p.requests} text=${count(p.requests, language)} /></td>
      <td data-label=${t("ops.errors")} class=${`c-number${p.errors > 0 ? " bad-text" : ""}`}><${Num} value=${p.errors} text=${count(p.errors, language)} /></td>
      <td data-label=${t("ops.memory")} class="c-number">${bytes(p.memory_bytes, language)}</td>
      <td data-label=${t("ops.cpu")} class="c-number" title=${t("ops.cpu_total", { n: decimal(p.cpu_seconds, language) })}>${percent(cpu, language)}</td>
      <td class="c-act"><button class="button button-small" disabled=${busy !== ""} onClick=${() => reload(p.name)} data-reload=${p.name}>${t(mine ? "ops.reloading" : "ops.reload")}</button></td>
    </tr>
    ${p.last_error && html`<tr class="row-error"><td colspan="9"><span class="muted">${t("ops.last_error", { at: moment(p.last_error.at, language) })}</span> <code>${p.last_error.message}</code></td></tr>`}`;
}

/** The plan as carried out, or the error with its file and line. */
function Outcome({ outcome, close }) {
  if (!outcome) return null;
  const lines = outcome.ok
    ? (outcome.plan ?? []).map((step) => (step.action === "keep" ? t("ops.reload_keep", step)
      : t("ops.reloaded", { ...step, from: short(step.from), to: short(step.to) })))
    : outcome.errors.map((error) => error.message);
  return html`
    <div class=${`outcome ${outcome.ok ? "outcome-ok" : "outcome-bad"}`} data-outcome=${outcome.ok ? "ok" : "failed"}>
      <p><b>${outcome.ok ? t("ops.reload_took", { ms: decimal(outcome.took_ms, lang.value) }) : t("ops.reload_failed")}</b></p>
      <ul class="mono">${lines.map((line) => html`<li>${line}</li>`)}</ul>
      ${!outcome.ok && outcome.errors.map((e) => "kept" in e && html`<p class="muted">${e.kept ? t("ops.kept", { kept: short(e.kept) }) : t("ops.none_serving")}</p>`)}
      <button class="icon-button" onClick=${close} aria-label=${t("close")}>✕</button>
    </div>`;
}

const short = (generation) => (generation ? String(generation).slice(0, 8) : "–");

function useShares({ data, at }) {
  const look = useRef({ last: null, shares: {} });
  if (data && look.current.last?.at !== at) {
    const now = { at, values: Object.fromEntries(data.map((p) => [p.name, p.cpu_seconds])) };
    look.current = { last: now, shares: shares(look.current.last, now) };
  }
  return look.current.shares;
}
