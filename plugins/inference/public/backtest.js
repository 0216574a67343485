/** The back-test: the caller's own series, its end hidden and foretold again and again. */
import { API, placeOf, send } from "./kit.js";
import { requestOf } from "./series.js";

const BASELINES = ["last_value", "seasonal_naive", "moving_average"];

export function makeBacktest(kit) {
  const { ctx, html, t, useState, Failure, Refused, SeriesInput, useSeries } = kit;

  return function Backtest({ models }) {
    const input = useSeries();
    const [left, setLeft] = useState([]);
    const [rest, setRest] = useState({ horizon: "24", folds: "4", period: "24" });
    const [state, setState] = useState({ busy: false, error: null });
    const names = (models.data?.models ?? []).map((m) => m.name).filter((name) => !BASELINES.includes(name));
    const chosen = names.filter((name) => !left.includes(name));
    const toggle = (name) => setLeft((now) => (now.includes(name) ? now.filter((n) => n !== name) : [...now, name]));
    const number = (key) => (rest[key] === "" ? "" : Number(rest[key]));

    async function run(event) {
      event.preventDefault();
      if (state.busy) return;
      setState({ busy: true, error: null });
      try {
        const answer = await send(ctx, `${API}/backtest`, requestOf(input.series, { model_names: chosen, horizon: number("horizon"), folds: number("folds"), period: number("period") }));
        location.hash = kit.href({ id: answer.id });
      } catch (error) {
        setState({ busy: false, error });
      }
    }

    const Number_ = ({ name, help }) => html`<label class="inf-field"><span>${t(name)} <small class="muted">${t(help)}</small></span><input class="field" type="number" inputmode="numeric" min="1" step="1" value=${rest[name]} onInput=${(e) => setRest((now) => ({ ...now, [name]: e.target.value }))} data-backtest=${name} /></label>`;
    if (!models.data && models.error) return html`<${Failure} error=${models.error} retry=${models.reload} />`;
    return html`
      <form class="inf-form" onSubmit=${run} noValidate aria-busy=${state.busy} data-backtest-form>
        <div class="inf-card"><h2>${t("backtest")}</h2><p class="muted inf-lead">${t("backtest_text")}</p><${SeriesInput} input=${input} name="inf-bt" refused=${state.error ? placeOf(state.error) : -1} /></div>
        <div class="inf-card inf-settings"><h2>${t("models_used")}</h2>
          <fieldset class="inf-checks"><legend class="hidden">${t("models_used")}</legend>${names.map((name) => html`<label key=${name} class="check"><input type="checkbox" checked=${!left.includes(name)} onChange=${() => toggle(name)} data-use=${name} />${kit.modelName(name)}</label>`)}
            ${BASELINES.map((name) => html`<label key=${name} class="check"><input type="checkbox" checked disabled />${kit.modelName(name)} <span class="inf-tag">${t("baseline")}</span></label>`)}</fieldset>
          ${Number_({ name: "horizon", help: "horizon_help" })}
          <div class="inf-fields">${Number_({ name: "folds", help: "folds_help" })}${Number_({ name: "period", help: "period_help" })}</div>
          <button class="button button-main inf-submit" disabled=${state.busy || !models.data} data-run-backtest>${state.busy ? t("running") : t("run")}</button>
          <div role="alert">${state.error && html`<${Refused} error=${state.error} />`}</div>
        </div>
      </form>`;
  };
}
