/** The form: a series, a model, how far ahead; what the server refuses is shown where it is. */
import { API, placeOf, send } from "./kit.js";
import { metadataOf, requestOf } from "./series.js";

/** What is asked for in the disclosure, which opens when one of these is refused. */
const FURTHER = ["priority", "deadline", "callback_url", "metadata"];

/** The field of this form that a refusal names, or "". @param {any} error */
function fieldOf(error) {
  const name = error?.status === 422 ? String(error.body?.field ?? "").replace(/^options\./, "") : "";
  return [...FURTHER, "horizon", "window"].includes(name) ? name : "";
}

/** Mean of the squared errors that were measured; models without any come last. */
function errorOf(model) {
  const errors = Object.values(model.scores ?? {}).flatMap((by) => Object.values(by).map((each) => each?.mse)).filter((mse) => typeof mse === "number");
  return errors.length > 0 ? errors.reduce((sum, mse) => sum + mse, 0) / errors.length : Infinity;
}

/** Offered first: the model that did best where all were measured. */
const best = (models) => [...models].sort((a, b) => errorOf(a) - errorOf(b) || (a.kind === "moving_average") - (b.kind === "moving_average"))[0];

export function makeSubmit(kit) {
  const { ctx, html, t, useEffect, useRef, useState, Failure, Refused, SeriesInput, useSeries } = kit;

  /** A field with what the server said of it, if that was what it refused. */
  function Field({ name, label, help, error, children }) {
    return html`<div class="inf-field" data-field=${name}><label for=${`inf-f-${name}`}>${label} ${help && html`<small class="muted">${help}</small>`}</label>${children({ id: `inf-f-${name}`,
      "aria-invalid": error ? "true" : null, "aria-describedby": error ? `inf-e-${name}` : null })}
      ${error && html`<p class="bad-text inf-small" id=${`inf-e-${name}`} role="alert" data-field-error=${name}>${error}</p>`}</div>`;
  }

  function Further({ rest, set, wrong, open, onToggle }) {
    const text = (name, more) => html`<${Field} name=${name} label=${t(name)} help=${more.help} error=${wrong(name)}>${(attributes) => html`
      <input class="field" type=${more.type ?? "text"} ...${attributes} list=${more.list} spellcheck="false" autocomplete="off" placeholder=${more.placeholder} value=${rest[name]} onInput=${set(name)} />`}</${Field}>`;
    return html`
      <details class="inf-further" open=${open} onToggle=${(e) => onToggle(e.currentTarget.open)} data-further><summary>${t("further")}</summary><div class="inf-further-body">
        <div class="inf-fields">
          <${Field} name="priority" label=${t("priority")} error=${wrong("priority")}>${(attributes) => html`<select class="field" ...${attributes} value=${rest.priority} onChange=${set("priority")}>${["high", "normal", "low"].map((key) => html`<option key=${key} value=${key}>${t(`priority.${key}`)}</option>`)}</select>`}</${Field}>
          ${text("deadline", { placeholder: "30s", list: "inf-deadlines" })}
          <datalist id="inf-deadlines">${["30s", "5m", "1h"].map((value) => html`<option key=${value} value=${value}></option>`)}</datalist></div>
        ${text("callback_url", { type: "url", placeholder: "https://example.com/hook", help: t("callback_help") })}
        <${Field} name="metadata" label=${t("metadata")} help=${t("metadata_help")} error=${wrong("metadata")}>${(attributes) => html`
          <textarea class="inf-text inf-metadata" rows="3" spellcheck="false" ...${attributes} placeholder=${'{"site": "north"}'} value=${rest.metadata} onInput=${set("metadata")}></textarea>`}</${Field}>
      </div></details>`;
  }

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
    const [rest, setRest] = useState({ horizon: "", priority: "normal", deadline: "", window: "", callback_url: "", metadata: "" });
    const [further, setFurther] = useState(false);
    const [state, setState] = useState({ busy: false, error: null });
    const wrong = useRef(null);
    const list = models.data?.models ?? [];
    const name = model || best(list)?.name || "";
    const chosen = list.find((m) => m.name === name);
    const average = chosen?.kind === "moving_average";
    const most = chosen?.longest_horizon ?? (chosen?.horizon ? chosen.horizon * 10 : undefined);
    const field = fieldOf(state.error);
    const set = (key) => (event) => {
      const { value } = event.target;
      setRest((now) => ({ ...now, [key]: value }));
      if (field === key) setState({ busy: false, error: null });
    };
    const why = (name) => (field !== name ? "" : t(`e.${name}.${state.error.body.code}`) === `e.${name}.${state.error.body.code}` ? state.error.message : t(`e.${name}.${state.error.body.code}`, { most: most ? kit.count(most) : "" }));
    useEffect(() => setState((now) => (now.error ? { ...now, error: null } : now)), [input.series, name]);
    useEffect(() => {
      if (FURTHER.includes(field)) setFurther(true);
      if (state.error && !field) wrong.current?.scrollIntoView({ block: "nearest" });
    }, [state.error]);
    useEffect(() => {
      if (field && (further || !FURTHER.includes(field))) document.getElementById(`inf-f-${field}`)?.focus();
    }, [state.error, further]);

    async function submit(event) {
      event.preventDefault();
      if (state.busy) return;
      setState({ busy: true, error: null });
      try {
        const answer = await send(ctx, `${API}/submit`, requestOf(input.series, { model_name: name, horizon: rest.horizon === "" ? "" : Number(rest.horizon),
          priority: rest.priority === "normal" ? "" : rest.priority, deadline: rest.deadline.trim(), callback_url: rest.callback_url.trim(), metadata: metadataOf(rest.metadata), options: average && rest.window !== "" ? { window: Number(rest.window) } : null }));
        location.hash = kit.href({ id: answer.id });
      } catch (error) {
        setState({ busy: false, error });
      }
    }

    if (!models.data && models.error) return html`<${Failure} error=${models.error} retry=${models.reload} />`;
    return html`
      <form class="inf-form" onSubmit=${submit} noValidate aria-busy=${state.busy} data-submit-form>
        <div class="inf-card"><h2>${t("series")}</h2><${SeriesInput} input=${input} name="inf" refused=${state.error ? placeOf(state.error) : -1} /></div>
        <div class="inf-card inf-settings"><h2>${t("model")}</h2>
          <${Model} models=${list} value=${name} onChange=${setModel} />
          <${Field} name="horizon" label=${t("horizon")} help=${`${t("horizon_help")}${most ? ` · ${t("horizon_most", { n: kit.count(most) })}` : ""}`} error=${why("horizon")}>${(attributes) => html`
            <input class="field" type="number" inputmode="numeric" min="1" max=${most} step="1" ...${attributes} placeholder=${chosen?.default_horizon ? kit.count(chosen.default_horizon) : t("default")} value=${rest.horizon} onInput=${set("horizon")} data-horizon />`}</${Field}>
          ${average && html`<${Field} name="window" label=${t("window_points")} help=${t("window_help")} error=${why("window")}>${(attributes) => html`
            <input class="field" type="number" inputmode="numeric" min="1" step="1" ...${attributes} placeholder="5" value=${rest.window} onInput=${set("window")} data-window />`}</${Field}>`}
          <${Further} rest=${rest} set=${set} wrong=${why} open=${further} onToggle=${setFurther} />
          <button class="button button-main inf-submit" disabled=${state.busy || !name} data-submit>${state.busy ? t("submitting") : t("submit")}</button>
          <div ref=${wrong} role="alert">${state.error && !field && html`<${Refused} error=${state.error} />`}</div>
        </div>
      </form>`;
  };
}
