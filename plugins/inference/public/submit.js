/** The form: a series, a model, how far ahead; what the server refuses is shown where it is. */
import { API, placeOf, send } from "./kit.js";
import { requestOf } from "./series.js";

/** Mean of the squared errors that were measured; models without any come last. */
function errorOf(model) {
  const errors = Object.values(model.scores ?? {}).flatMap((by) => Object.values(by).map((each) => each?.mse)).filter((mse) => typeof mse === "number");
  return errors.length > 0 ? errors.reduce((sum, mse) => sum + mse, 0) / errors.length : Infinity;
}

/** Offered first: the model that did best where all were measured. */
const best = (models) => [...models].sort((a, b) => errorOf(a) - errorOf(b) || (a.kind === "moving_average") - (b.kind === "moving_average"))[0];

export function makeSubmit(kit) {
  const { ctx, html, t, useEffect, useRef, useState, Failure, Refused, SeriesInput, useSeries } = kit;

  function Model({ models, value, onChange }) {
    const chosen = models.find((m) => m.name === value);
    return html`
      <label class="inf-field"><span>${t("model")}</span><select class="field" value=${value} onChange=${(e) => onChange(e.target.value)} aria-describedby="inf-model-note" data-model>
        ${models.map((m) => html`<option key=${m.name} value=${m.name}>${kit.modelName(m.name)}</option>`)}</select></label>
      <p class="muted inf-small inf-model-note" id="inf-model-note">${chosen ? [chosen.lookback && t("lookback", { n: kit.count(chosen.lookback) }), chosen.min_points && t("needs", { n: kit.count(chosen.min_points) })].filter(Boolean).join(" · ") : " "}</p>`;
  }

  return function Submit({ models, route }) {
    const input = useSeries();
    const [model, setModel] = useState(route.query.get("model") ?? "");
    const [rest, setRest] = useState({ horizon: "", priority: "normal", deadline: "", window: "" });
    const [state, setState] = useState({ busy: false, error: null });
    const wrong = useRef(null);
    const list = models.data?.models ?? [];
    const name = model || best(list)?.name || "";
    const chosen = list.find((m) => m.name === name);
    const average = chosen?.kind === "moving_average";
    const set = (key) => (event) => setRest((now) => ({ ...now, [key]: event.target.value }));
    useEffect(() => setState((now) => (now.error ? { ...now, error: null } : now)), [input.series, name]);
    useEffect(() => {
      if (state.error) wrong.current?.scrollIntoView({ block: "nearest" });
    }, [state.error]);

    async function submit(event) {
      event.preventDefault();
      if (state.busy) return;
      setState({ busy: true, error: null });
      try {
        const answer = await send(ctx, `${API}/submit`, requestOf(input.series, { model_name: name, horizon: rest.horizon === "" ? "" : Number(rest.horizon),
          priority: rest.priority === "normal" ? "" : rest.priority, deadline: rest.deadline, options: average && rest.window !== "" ? { window: Number(rest.window) } : null }));
        location.hash = kit.href({ id: answer.id });
      } catch (error) {
        setState({ busy: false, error });
      }
    }

    if (!models.data && models.error) return html`<${Failure} error=${models.error} retry=${models.reload} />`;
    const most = chosen?.longest_horizon ?? (chosen?.horizon ? chosen.horizon * 10 : undefined);
    return html`
      <form class="inf-form" onSubmit=${submit} noValidate aria-busy=${state.busy} data-submit-form>
        <div class="inf-card"><h2>${t("series")}</h2><${SeriesInput} input=${input} name="inf" refused=${state.error ? placeOf(state.error) : -1} /></div>
        <div class="inf-card inf-settings"><h2>${t("model")}</h2>
          <${Model} models=${list} value=${name} onChange=${setModel} />
          <label class="inf-field"><span>${t("horizon")} <small class="muted">${t("horizon_help")}${most ? ` · ${t("horizon_most", { n: kit.count(most) })}` : ""}</small></span>
            <input class="field" type="number" inputmode="numeric" min="1" max=${most} step="1" placeholder=${chosen?.default_horizon ? kit.count(chosen.default_horizon) : t("default")} value=${rest.horizon} onInput=${set("horizon")} data-horizon /></label>
          ${average && html`<label class="inf-field"><span>${t("window_points")} <small class="muted">${t("window_help")}</small></span><input class="field" type="number" inputmode="numeric" min="1" step="1" placeholder="5" value=${rest.window} onInput=${set("window")} data-window /></label>`}
          <div class="inf-fields">
            <label class="inf-field"><span>${t("priority")}</span><select class="field" value=${rest.priority} onChange=${set("priority")}>${["high", "normal", "low"].map((key) => html`<option key=${key} value=${key}>${t(`priority.${key}`)}</option>`)}</select></label>
            <label class="inf-field"><span>${t("deadline")}</span><select class="field" value=${rest.deadline} onChange=${set("deadline")}>${["", "30s", "5m"].map((key) => html`<option key=${key} value=${key}>${t(`deadline.${key || "none"}`)}</option>`)}</select></label>
          </div>
          <button class="button button-main inf-submit" disabled=${state.busy || !name} data-submit>${state.busy ? t("submitting") : t("submit")}</button>
          <div ref=${wrong} role="alert">${state.error && html`<${Refused} error=${state.error} />`}</div>
        </div>
      </form>`;
  };
}
