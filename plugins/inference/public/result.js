/** One result: what happens to it while one waits, then the forecast as a chart, a table and JSON. */
import { makeAbout } from "./about.js";
import { API, between } from "./kit.js";

const EVERY = 700;

const FIRST = ["id", "model_name", "model_version", "status", "submitted_at", "started_at", "finished_at", "processing_ms", "points", "metadata", "error"];

/** JSON as one reads it: what it is about first, a list of numbers on one line. */
const written = (job) => JSON.stringify({ ...Object.fromEntries(FIRST.map((key) => [key, job[key]])), ...job }, null, 2).replace(/\[[-+\d.eE,\s]*\]/g, (list) => list.replace(/\s+/g, " "));

/** Digits after the point that suit the largest of a column, so that its rows can be compared. */
const digitsOf = (values) => {
  const most = Math.max(0, ...values.filter((v) => typeof v === "number"));
  return most >= 1000 ? 0 : most >= 100 ? 1 : most >= 10 ? 2 : 3;
};

export function makeResult(kit) {
  const { ctx, html, t, useEffect, useMemo, useRef, useResource, useState, Failure, Forecast, Note, Status } = kit;
  const About = makeAbout(kit);

  /** Asks until it has come to an end; a message of the socket asks at once. */
  function useJob(id, live) {
    const [going, setGoing] = useState(true);
    const job = useResource((signal) => ctx.api.get(`${API}/${encodeURIComponent(id)}`, null, signal), [id], { stream: ctx.stream, every: going ? EVERY : 0, keep: `inference ${id}` });
    const seen = live.update?.recent_results?.find((row) => String(row.id) === id)?.status;
    useEffect(() => setGoing(job.data ? kit.going(job.data) : !job.error || job.error.status !== 404), [job.data, job.error]);
    useEffect(() => {
      if (going && seen && !kit.going({ status: seen })) job.reload();
    }, [seen]);
    return job;
  }

  function Times({ job }) {
    const figures = [
      ["model", kit.modelName(job.model_name), job.model_version ? `${t("version")} ${job.model_version}` : ""],
      ["length", kit.count(job.points), job.result?.horizon ? `${t("horizon")} ${kit.count(job.result.horizon)}` : ""],
      ["at.submitted", kit.clock(job.submitted_at), kit.moment(job.submitted_at)],
      ["waited", kit.span(between(job.submitted_at, job.started_at)), ""],
      ["computed", kit.ms(job.processing_ms), ""],
      ["whole", kit.span(between(job.submitted_at, job.finished_at)), ""],
    ];
    return html`<dl class="figures inf-times">${figures.map(([key, text, note]) => html`<div key=${key} class="figure" data-figure=${key}><dt>${t(key)}</dt><dd class="clip" title=${text}>${text}</dd><small>${note}</small></div>`)}</dl>`;
  }

  function Steps({ result }) {
    const bands = (result.bands ?? []).filter((list) => list.length > 0);
    const quantiles = result.quantiles ?? [];
    const middle = quantiles.indexOf(0.5);
    const shown = bands.map((list, i) => [quantiles[i], list, i]).filter(([, , i]) => i !== middle);
    const forecast = result.forecast ?? [];
    if (forecast.length === 0) return null;
    return html`
      <section class="section"><div class="section-head"><h2 id="inf-table-title">${t("table")}</h2></div>
        <div class="inf-scroll" tabindex="0" role="region" aria-labelledby="inf-table-title"><table class="inf-table" data-table>
          <thead><tr><th scope="col">${t("step")}</th><th scope="col">${t("median")}</th>${shown.map(([q, , i]) => html`<th scope="col" key=${i}>${kit.quantile(q)}</th>`)}</tr></thead>
          <tbody>${forecast.map((v, i) => html`<tr key=${i}><th scope="row">+${i + 1}</th><td><b>${kit.value(v)}</b></td>${shown.map(([, list, n]) => html`<td key=${n}>${kit.value(list[i])}</td>`)}</tr>`)}</tbody>
        </table></div></section>`;
  }

  function Json({ job }) {
    const text = useMemo(() => written(job), [job]);
    const [said, setSaid] = useState("");
    const copy = () => navigator.clipboard?.writeText(text).then(() => setSaid("copied"), () => setSaid("copy_failed")) ?? setSaid("copy_failed");
    return html`
      <section class="section"><div class="section-head"><h2>${t("json")}</h2><span class="muted" role="status" data-copied>${said && t(said)}</span><button class="button button-small" onClick=${copy} data-copy>${t("copy")}</button></div>
        <pre class="code inf-json" tabindex="0" data-json>${text}</pre></section>`;
  }

  /** Errors of every model, the least of each column marked. */
  function Table({ result }) {
    const keys = ["rmse", "mae", "mase"];
    const rows = result.table ?? [];
    const least = Object.fromEntries(keys.map((key) => [key, Math.min(...rows.map((row) => row[key]).filter((v) => typeof v === "number"))]));
    const digits = Object.fromEntries(keys.map((key) => [key, digitsOf(rows.map((row) => row[key]))]));
    const most = Math.max(...rows.map((row) => row.mase ?? row.rmse ?? 0), 1e-12);
    const baseline = (name) => ["last_value", "seasonal_naive", "moving_average"].includes(name);
    return html`
      <section class="section"><div class="section-head"><h2>${t("table_title")}</h2><span class="muted">${t("folds_n", { n: kit.count(result.folds), h: kit.count(result.horizon) })}</span></div>
        <table class="data inf-errors" data-errors><thead><tr><th scope="col">${t("model")}</th>${keys.map((key) => html`<th scope="col" key=${key} class="c-number">${t(key)}</th>`)}<th scope="col" aria-hidden="true"></th></tr></thead>
          <tbody>${[...rows].sort((a, b) => (a.mase ?? a.rmse ?? Infinity) - (b.mase ?? b.rmse ?? Infinity)).map((row) => html`
            <tr key=${row.model} data-error-row=${row.model}><td class="inf-wide"><b>${kit.modelName(row.model)}</b>${baseline(row.model) && html` <span class="inf-tag">${t("baseline")}</span>`}</td>
              ${keys.map((key) => html`<td key=${key} class="c-number" data-label=${t(key)}><span>${ctx.format.decimal(row[key], ctx.lang.value, digits[key])}${row[key] === least[key] && html` <span class="inf-best">${t("best")}</span>`}</span></td>`)}
              <td class="inf-bar-cell" aria-hidden="true"><span class="weight"><i style=${`width:${(100 * (row.mase ?? row.rmse ?? 0)) / most}%`}></i></span></td></tr>`)}</tbody></table>
        <p class="muted inf-small">${t("mase_note")}</p>
        ${(result.left_out ?? []).map((each) => html`<p key=${each.model} class="inf-small" data-left-out=${each.model}><b>${kit.modelName(each.model)}</b> <span class="muted">${t("left_out")}: ${each.message}</span></p>`)}</section>`;
  }

  function Outcome({ job }) {
    if (kit.going(job)) return html`<div class="inf-wait"><span class="inf-spinner" aria-hidden="true"></span><p>${t(job.status === "running" ? "working" : "waiting")}</p></div>`;
    if (job.error && job.status !== "failed") return html`<${Note} title=${t(`status.${job.status}`)}><p class="muted" data-why>${kit.why(job.error)}</p></${Note}>`;
    if (job.error) return html`<${Note} kind="bad" title=${t("why_failed")}><p class="mono" data-why>${kit.why(job.error)}</p>${job.error.code && html`<p class="muted">${kit.reason(job.error.code)}</p>`}</${Note}>`;
    if (job.result?.table) return html`<${Table} result=${job.result} />`;
    if (!job.result) return null;
    return html`<${Forecast} result=${job.result} /><${Steps} result=${job.result} />`;
  }

  /** inside: one came here from another of these pages, and what had the focus is gone. */
  return function Result({ id, live, inside }) {
    const job = useJob(id, live);
    const heading = useRef(null);
    const [said, setSaid] = useState("");
    useEffect(() => {
      if (inside) heading.current?.focus({ preventScroll: true });
    }, [Boolean(job.data)]);
    const cancel = async () => {
      try {
        await ctx.api.request(`${API}/${encodeURIComponent(id)}`, { method: "DELETE" });
        setSaid(t("cancelled_now"));
      } catch (error) {
        setSaid(t("not_cancelled", { why: error.message }));
      }
      job.reload();
    };
    const row = job.data;
    if (!row && job.error?.status === 404) return html`<${Note} title=${t("gone")}><p class="muted">${t("gone_text")}</p><a class="button" href=${kit.href({ view: "results" })} data-back>${t("back")}</a></${Note}>`;
    if (!row && job.error) return html`<${Failure} error=${job.error} retry=${job.reload} />`;
    return html`
      <a class="back" href=${kit.href({ view: "results" })} data-back>← ${t("back")}</a>
      <div class="inf-result-head"><h2 tabindex="-1" ref=${heading}>${row?.model_name === "backtest" ? t("m.backtest") : t("result")} <span class="mono muted inf-id">${id}</span></h2>
        <span role="status" data-state=${row?.status ?? ""}>${row && html`<${Status} status=${row.status} />`}</span>
        <span class="inf-result-act"><span class="muted" role="status">${said}</span>
          ${row && kit.going(row) ? html`<button class="button button-small button-danger" onClick=${cancel} data-cancel>${t("cancel")}</button>`
            : html`<a class="button button-small" href=${kit.href({ view: row?.model_name === "backtest" ? "backtest" : "submit" })}>${t("again")}</a>`}</span></div>
      ${row ? html`<${Times} job=${row} /><${Outcome} job=${row} /><${About} job=${row} />${!kit.going(row) && html`<${Json} job=${row} />`}` : html`<div class="inf-wait"><p class="muted">${t("loading")}</p></div>`}`;
  };
}
