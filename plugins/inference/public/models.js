/** The models: their versions, what was measured, what is honest to say, and the shadow beside the current one. */
import { send } from "./kit.js";
import { modelOf } from "./series.js";

const FACTS = [["lookback_l", "lookback", "points"], ["min_points_l", "min_points", "points"], ["horizon_l", "horizon", "steps"], ["longest_l", "longest_horizon", "steps"]];

export function makeModels(kit) {
  const { ctx, html, t, useResource, useState, Failure, Note, Pill } = kit;
  const path = (name, rest) => `/api/v1/models/${encodeURIComponent(name)}/${rest}`;

  /** {"ETTh1": {"96": {mse, mae}}} as rows, in an order of their own: members of an object have none. */
  function rowsOf(scores) {
    return Object.entries(scores ?? {}).flatMap(([dataset, by]) => (by && typeof by === "object"
      ? Object.entries(by).filter(([, each]) => each && typeof each === "object").map(([horizon, each]) => ({ dataset, horizon, ...each })) : []))
      .sort((a, b) => a.dataset.localeCompare(b.dataset, "en", { sensitivity: "base" }) || a.horizon - b.horizon);
  }

  function Scores({ model }) {
    const rows = rowsOf(model.scores);
    const keys = [...new Set(rows.flatMap((row) => Object.keys(row).filter((key) => typeof row[key] === "number")))].sort();
    if (rows.length === 0) return html`<p class="muted">${t("no_scores")}</p>`;
    return html`
      <div class="inf-scroll inf-scroll-free" tabindex="0" role="region" aria-label=${`${model.name}: ${t("scores")}`}><table class="inf-table" data-scores>
        <thead><tr><th scope="col">${t("dataset")}</th><th scope="col">${t("horizon")}</th>${keys.map((key) => html`<th scope="col" key=${key}>${key.toUpperCase()}</th>`)}</tr></thead>
        <tbody>${rows.map((row) => html`<tr key=${`${row.dataset} ${row.horizon}`}><th scope="row">${row.dataset}</th><td>${row.horizon}</td>${keys.map((key) => html`<td key=${key}>${typeof row[key] === "number" ? ctx.format.decimal(row[key], ctx.lang.value, 4) : "–"}</td>`)}</tr>`)}</tbody>
      </table></div><p class="muted inf-small">${t("scores_note")}</p>`;
  }

  function Versions({ model, change }) {
    const several = model.versions?.length > 1;
    return html`
      <ul class="inf-versions">${(model.versions ?? []).map((v) => html`
        <li key=${v.version} data-version=${v.version}><b>${v.version}</b>
          ${v.version === model.current && html`<${Pill} kind="ok">${t("current")}</${Pill}>`}${v.version === model.shadow && html`<${Pill} kind="idle">${t("shadow")}</${Pill}>`}
          <span class="muted inf-small">${[v.source && t(`where.${v.source}`), v.bytes && kit.bytes(v.bytes), v.created_at && kit.moment(v.created_at)].filter(Boolean).join(" · ")}</span>
          ${v.sha256 && html`<code class="inf-sha" title=${v.sha256}>${v.sha256.slice(0, 12)}</code>`}
          ${several && v.version !== model.current && html`<span class="inf-version-act">
            <button class="button button-small" onClick=${() => change("current", v.version)} data-make-current>${t("make_current")}</button>
            ${v.version === model.shadow ? html`<button class="button button-small" onClick=${() => change("shadow", null)} data-end-shadow>${t("end_shadow")}</button>`
              : html`<button class="button button-small" onClick=${() => change("shadow", v.version)} data-make-shadow>${t("make_shadow")}</button>`}</span>`}
        </li>`)}</ul>`;
  }

  /** How far two versions are apart, and which was nearer where the end of a series was known. */
  function Pair({ pair }) {
    const facts = [["series", kit.count(pair.series)], ["mean_difference", kit.value(pair.mean_difference)], ["largest_difference", kit.value(pair.largest_difference)],
      ["judged", kit.count(pair.judged)], ["mae_current", kit.value(pair.mae_current)], ["mae_shadow", kit.value(pair.mae_shadow)], ["ms_current", kit.ms(pair.ms_current)], ["ms_shadow", kit.ms(pair.ms_shadow)],
      ...(pair.failed > 0 ? [["failed", kit.count(pair.failed)]] : [])];
    const nearer = pair.judged > 0 && pair.mae_current !== pair.mae_shadow ? (pair.mae_shadow < pair.mae_current ? pair.shadow : pair.current) : "";
    return html`
      <h4>${t("comparison", { current: pair.current, shadow: pair.shadow })}</h4>
      <dl class="inf-facts-list" data-comparison=${pair.shadow}>${facts.map(([key, text]) => html`<div key=${key}><dt>${t(`c.${key}`)}</dt><dd>${text}</dd></div>`)}</dl>
      ${nearer && html`<p class="muted inf-small">${t("nearer", { version: nearer, n: kit.count(pair.judged) })}</p>`}`;
  }

  function Comparison({ model }) {
    const found = useResource((signal) => ctx.api.get(path(model.name, "comparison"), null, signal), [model.current, model.shadow], { stream: ctx.stream, every: model.shadow ? 10000 : 0 });
    const pairs = found.data?.comparisons ?? [];
    if (found.error && !found.data) return html`<p class="muted">${found.error.message}</p>`;
    if (pairs.length === 0) return model.shadow ? html`<p class="muted" data-comparison="">${found.data ? t("comparison_none") : t("loading")}</p>` : null;
    return pairs.map((pair) => html`<${Pair} key=${`${pair.current} ${pair.shadow}`} pair=${pair} />`);
  }

  function Model({ model, reload }) {
    const [said, setSaid] = useState(null);
    const change = async (what, version) => {
      try {
        await ctx.api.post(path(model.name, what), { version });
        setSaid({ text: t(what === "current" ? "changed_current" : version ? "changed_shadow" : "changed_shadow_off", { version }) });
        reload();
      } catch (error) {
        setSaid({ text: error.status === 401 || error.status === 403 ? t("operators") : error.message, bad: true });
      }
    };
    const kind = t(`kind.${model.kind}`) === `kind.${model.kind}` ? model.kind : t(`kind.${model.kind}`);
    return html`
      <article class="inf-card inf-model" aria-labelledby=${`inf-model-${model.name}`} data-model-card=${model.name}>
        <header><h2 id=${`inf-model-${model.name}`}>${kit.modelName(model.name)}</h2><span class="inf-tag">${kind}</span>${model.current && html`<span class="muted">${t("version")} ${model.current}</span>`}
          <a class="button button-small inf-model-try" href=${kit.href({ view: "submit", model: model.name })}>${t("start")}</a></header>
        <dl class="inf-facts-list">${FACTS.filter(([, key]) => model[key]).map(([label, key, unit]) => html`<div key=${key}><dt>${t(label)}</dt><dd>${t(`${unit}_${model[key] === 1 ? 1 : "n"}`, { n: kit.count(model[key]) })}</dd></div>`)}
          ${model.quantiles?.length > 0 && html`<div><dt>${t("quantiles_l")}</dt><dd>${model.quantiles.map((q) => kit.quantile(q)).join(" · ")}</dd></div>`}</dl>
        ${model.note && html`<h3>${t("honest")}</h3><p class="inf-honest" data-honest>${ctx.pick(model.note)}</p>`}
        ${model.scores && html`<h3>${t("scores")}</h3><${Scores} model=${model} />`}
        ${model.versions?.length > 0 && html`<h3>${t("versions")}</h3><${Versions} model=${model} change=${change} />`}
        <p role="status" class=${said?.bad ? "bad-text" : "muted"} data-said>${said?.text ?? ""}</p>
        ${model.versions?.length > 1 && html`<${Comparison} model=${model} />`}
      </article>`;
  }

  /** The name and the version stand in the file: there is nothing to fill in. */
  function Upload({ reload }) {
    const [said, setSaid] = useState(null);
    const onFile = async (event) => {
      const bytes = await event.target.files[0]?.arrayBuffer();
      event.target.value = "";
      const model = bytes && modelOf(bytes);
      if (!model) return bytes && setSaid({ text: t("no_model_file"), bad: true });
      setSaid({ text: t("uploading", model) });
      try {
        await send(ctx, path(model.name, `versions/${encodeURIComponent(model.version)}`), { method: "PUT", type: "application/octet-stream", body: bytes });
        setSaid({ text: t("uploaded", model) });
        reload();
      } catch (error) {
        setSaid({ text: error.status === 401 || error.status === 403 ? t("operators") : error.message, bad: true });
      }
    };
    return html`
      <section class="inf-card inf-upload"><h2>${t("upload")}</h2><p class="muted" id="inf-upload-text">${t("upload_text")}</p>
        <label class="button inf-choose"><span>${t("upload_choose")}</span><input type="file" class="inf-file-field" accept=".safetensors" aria-describedby="inf-upload-text" onChange=${onFile} data-upload /></label>
        <p role="status" class=${said?.bad ? "bad-text" : "muted"} data-upload-said>${said?.text ?? ""}</p></section>`;
  }

  return function Models({ models }) {
    if (!models.data && models.error) return html`<${Failure} error=${models.error} retry=${models.reload} />`;
    if (!models.data) return html`<div class="inf-models" aria-busy="true">${[0, 1].map((i) => html`<div key=${i} class="inf-card inf-model inf-loading"><p class="muted">${t("loading")}</p></div>`)}</div>`;
    if (models.data.models.length === 0) return html`<${Note} title=${t("none_models")}></${Note}>`;
    return html`<div class="inf-models">${models.data.models.map((model) => html`<${Model} key=${model.name} model=${model} reload=${models.reload} />`)}</div><${Upload} reload=${models.reload} />`;
  };
}
