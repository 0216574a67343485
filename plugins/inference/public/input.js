/** A series by whichever way somebody has it: a sample, a paste, a file; and the end of it drawn. */
import { placeOf } from "./kit.js";
import { parseFile, parseText, sample, SAMPLES, seriesOf } from "./series.js";

const LENGTHS = [96, 480, 2000, 10000];
const MOST_BYTES = 32 * 1024 * 1024;

export function makeInput(kit) {
  const { html, t, useEffect, useMemo, useRef, useState, Choice, Note, Preview } = kit;

  /** The state of an input: what was chosen, and the series it makes. */
  function useSeries() {
    const [source, setSource] = useState("sample");
    const [kind, setKind] = useState("seasonal");
    const [length, setLength] = useState(480);
    const [text, setText] = useState("");
    const [file, setFile] = useState(null);
    const [column, setColumn] = useState(0);
    const series = useMemo(() => {
      if (source === "sample") return seriesOf(sample(kind, length));
      if (source === "text") return parseText(text);
      if (!file) return seriesOf([]);
      if (!file.columns) return file.series;
      return file.columns.length > 0 ? seriesOf(file.columns[Math.min(column, file.columns.length - 1)].values) : { ...seriesOf([]), wrong: "empty" };
    }, [source, kind, length, text, file, column]);
    return { source, setSource, kind, setKind, length, setLength, text, setText, file, setFile, column, setColumn, series };
  }

  async function load(list, into) {
    const file = list?.[0];
    if (!file) return;
    if (file.size > MOST_BYTES) {
      into.setFile({ name: file.name, series: { ...seriesOf([]), wrong: "large" } });
      return;
    }
    into.setFile({ name: file.name, series: seriesOf([]), busy: true });
    const bytes = await file.arrayBuffer();
    await new Promise(requestAnimationFrame); /* a large one takes a moment, which is said first */
    const found = parseFile(file.name, bytes);
    into.setColumn(found.columns ? found.columns.length - 1 : 0);
    into.setFile(found.columns ? { name: file.name, columns: found.columns } : { name: file.name, series: found });
  }

  function File_({ input, name }) {
    const [over, setOver] = useState(false);
    const field = useRef(null);
    const onDrop = (event) => {
      event.preventDefault();
      setOver(false);
      load(event.dataTransfer.files, input);
    };
    const { file } = input;
    return html`
      <div class=${`inf-drop${over ? " inf-drop-over" : ""}`} onDragOver=${(e) => { e.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${onDrop} data-drop>
        ${file ? html`<p><b class="inf-file" data-file>${file.name}</b> <button type="button" class="button button-small" onClick=${() => { input.setFile(null); field.current.value = ""; }} aria-label=${t("remove", { name: file.name })}>×</button></p>` : html`<p>${t("drop")}</p>`}
        <label class="button inf-choose"><span>${t("choose_file")}</span><input ref=${field} type="file" class="inf-file-field" accept=".csv,.tsv,.json,.ndjson,.jsonl,.txt,.f32,.bin,.raw,.dat" onChange=${(e) => load(e.target.files, input)} aria-describedby=${`${name}-kinds`} /></label>
        <p class="muted inf-small" id=${`${name}-kinds`}>${t("drop_kinds")}</p>
      </div>
      ${file?.columns?.length > 1 && html`<label class="inf-field"><span>${t("column")}</span><select class="field" value=${String(Math.min(input.column, file.columns.length - 1))} onChange=${(e) => input.setColumn(Number(e.target.value))} data-column>
        ${file.columns.map((c, i) => html`<option key=${i} value=${String(i)}>${c.name}</option>`)}</select></label>`}`;
  }

  /** @param {{input: ReturnType<typeof useSeries>, name: string, refused: number}} props   refused: the place the server named, -1 */
  function SeriesInput({ input, name, refused }) {
    const { source, series } = input;
    const box = useRef(null);
    const show = () => {
      box.current.focus();
      if (series.at) box.current.setSelectionRange(...series.at);
    };
    useEffect(() => {
      if (refused >= 0 && source === "text" && refused === series.bad && box.current) show();
    }, [refused]);
    const bad = series.bad >= 0 ? series.values[series.bad] : undefined;
    return html`
      <fieldset class="inf-source"><legend class="hidden">${t("series")}</legend>
        <${Choice} name=${`${name}-source`} label=${t("source")} value=${source} onChange=${input.setSource} options=${["sample", "text", "file"].map((key) => [key, t(`source.${key}`)])} />
        <div class="inf-source-body">
          ${source === "sample" && html`<div class="inf-fields">
            <label class="inf-field"><span>${t("sample")}</span><select class="field" value=${input.kind} onChange=${(e) => input.setKind(e.target.value)} data-sample>${SAMPLES.map((key) => html`<option key=${key} value=${key}>${t(`sample.${key}`)}</option>`)}</select></label>
            <label class="inf-field"><span>${t("length")}</span><select class="field" value=${String(input.length)} onChange=${(e) => input.setLength(Number(e.target.value))} data-length>${LENGTHS.map((n) => html`<option key=${n} value=${String(n)}>${kit.count(n)}</option>`)}</select></label></div>`}
          ${source === "text" && html`<label class="inf-field inf-paste"><span>${t("paste")}</span>
            <textarea class="inf-text" rows="5" spellcheck="false" ref=${box} value=${input.text} placeholder=${t("paste_example")} aria-invalid=${series.bad >= 0 || Boolean(series.wrong)} aria-describedby=${`${name}-wrong`} onInput=${(e) => input.setText(e.target.value)} data-text></textarea></label>`}
          ${source === "file" && html`<${File_} input=${input} name=${name} />`}
        </div>
        <p class=${source === "sample" ? "hidden" : "inf-wrong"} id=${`${name}-wrong`} role="status">${source === "file" && input.file?.busy ? t("loading") : series.wrong ? html`<span class="bad-text" data-wrong>${t(`wrong.${series.wrong}`)}</span>`
          : series.bad >= 0 ? html`<span class="warn-text" data-not-number=${series.bad}>${t("not_number", { i: kit.count(series.bad), value: String(bad).slice(0, 40) })}</span>
            ${source === "text" && series.at && html` <button type="button" class="button button-small" onClick=${show} data-show>${t("go_there")}</button>`}` : ""}</p>
        <${Preview} series=${series} />
      </fieldset>`;
  }

  /** What the server did not take, and why: in the reader's words where they are known, and in the server's. */
  function Refused({ error }) {
    const index = placeOf(error);
    const { code, field } = error.body ?? {};
    const known = field === "data" && t(`r.${code}`) !== `r.${code}` ? t(`r.${code}`) : "";
    const why = known || error.message;
    return html`<${Note} kind="bad" title=${error.unreachable ? t("refused") : `${t("refused")} (${error.status})`}>
      <p data-refused=${index}>${index >= 0 ? t("refused_at", { index: kit.count(index), message: why }) : why}</p>${known && html`<p class="muted mono">${error.message}</p>`}</${Note}>`;
  }

  return { useSeries, SeriesInput, Refused };
}
