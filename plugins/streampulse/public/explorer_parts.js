/** Parts of the data explorer: the editor, the list of columns, the answer as a table and as a chart. */

/** @param {import("/app.js").PageContext} ctx @param {(key: string, values?: any) => string} t */
export function makeParts(ctx, t) {
  const { html, useEffect, useMemo, useRef, useState } = ctx.markup;
  const { Plot, Choice } = ctx.components;
  const { guess, nameColumns, numberColumns, timeColumns, toBars, toLines } = ctx.pivot;
  const PAGE = 100;
  const count = (n) => ctx.format.count(n, ctx.lang.value);

  /** A text area in which Tab indents; `place` is where an error is, "line:column". */
  function Editor({ value, onChange, onRun, field }) {
    const leaving = useRef(false);
    const onKey = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        onRun();
      } else if (event.key === "Escape") {
        leaving.current = true;
        return;
      } else if (event.key === "Tab" && !event.shiftKey && !leaving.current) {
        event.preventDefault();
        const { selectionStart: from, selectionEnd: to } = event.target;
        event.target.setRangeText("  ", from, to, "end");
        onChange(event.target.value);
      }
      leaving.current = false;
    };
    const lines = Math.min(20, Math.max(7, value.split("\n").length + 1));
    return html`<textarea class="xp-sql" rows=${lines} spellcheck=${false} autocapitalize="off" autocomplete="off" wrap="off"
      aria-label=${t("sql")} ref=${field} value=${value} onInput=${(event) => onChange(event.target.value)} onKeyDown=${onKey} data-sql></textarea>`;
  }

  /** What can be asked for; a click puts the name into the SQL. */
  function Columns({ tables, insert }) {
    return html`<div class="xp-columns">${tables.map((table, i) => html`
      <details key=${table.name} open=${i === 0}>
        <summary><button class="xp-name" onClick=${(event) => { event.preventDefault(); insert(table.name); }} data-table=${table.name}>${table.name}</button></summary>
        <ul>${table.columns.map((column) => html`<li key=${column.name}>
          <button class="xp-name" onClick=${() => insert(column.name === "at" ? '"at"' : column.name)} data-column=${column.name}>${column.name}</button><small>${column.type}</small></li>`)}</ul>
      </details>`)}</div>`;
  }

  const pad = (n) => String(n).padStart(2, "0");

  function when(seconds) {
    const d = new Date(seconds * 1000);
    if (Number.isNaN(d.getTime())) return String(seconds);
    return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  }

  const isNumber = (type) => type === "number" || type === "integer";

  /** "Asia/Seoul, UTC+09:00": of the reader's clock, by which times are shown. */
  function zone() {
    const minutes = -new Date().getTimezoneOffset();
    const offset = `UTC${minutes < 0 ? "−" : "+"}${pad(Math.floor(Math.abs(minutes) / 60))}:${pad(Math.abs(minutes) % 60)}`;
    const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
    return name && name !== "UTC" ? `${name}, ${offset}` : offset;
  }

  /**
   * How each column is shown: instants by the reader's clock (whole seconds since 1970 where a name says so, too),
   * numbers in digits grouped as the language does it, and what merely looks like a number as it is.
   */
  function shapes(answer) {
    const times = new Set(timeColumns(answer));
    return answer.types.map((type, i) => {
      const name = answer.columns[i];
      if (type === "time" || (times.has(i) && /(^|_)at$/.test(name))) return { kind: "time" };
      if (!isNumber(type)) return { kind: "text" };
      if (/(^|_)id$/.test(name)) return { kind: "number", digits: -1 };
      const values = answer.rows.map((row) => row[i]).filter((value) => typeof value === "number");
      const fine = values.some((value) => value !== 0 && Math.abs(value) < 0.01);
      return { kind: "number", digits: values.every(Number.isInteger) ? 0 : fine ? 6 : 2 };
    });
  }

  function Cell({ value, shape: { kind, digits } }) {
    const right = kind === "number" ? "xp-right" : kind === "time" ? "xp-time" : "";
    if (value === null) return html`<td class=${right}><span class="xp-null">NULL</span></td>`;
    if (kind === "time") return html`<td class="xp-time" title=${String(value)}>${when(value)}</td>`;
    if (kind === "number") {
      const text = digits < 0 || typeof value !== "number" ? String(value) : ctx.format.decimal(value, ctx.lang.value, digits);
      return html`<td class="xp-right" title=${text === String(value) ? undefined : String(value)}>${text}</td>`;
    }
    return html`<td><span class="xp-text" title=${String(value).length > 60 ? String(value) : undefined}>${String(value)}</span></td>`;
  }

  /** A page at a time: ten thousand rows in the document would hold the browser up. */
  function Table({ answer }) {
    const [page, setPage] = useState(0);
    useEffect(() => setPage(0), [answer]);
    const from = Math.min(page * PAGE, Math.max(0, answer.n - 1));
    const rows = answer.rows.slice(from, from + PAGE);
    const columns = useMemo(() => shapes(answer), [answer]);
    if (answer.n === 0) return html`<p class="muted">${t("empty")}</p>`;
    return html`
      <div class="xp-scroll" tabindex="0" role="region" aria-label=${t("table")}><table class="xp-table" data-answer>
        <thead><tr>${answer.columns.map((name, i) => html`<th key=${i} class=${columns[i].kind === "number" ? "xp-right" : ""} title=${answer.types[i]}>${name}</th>`)}</tr></thead>
        <tbody>${rows.map((row, n) => html`<tr key=${from + n}>${row.map((value, i) => html`<${Cell} key=${i} value=${value} shape=${columns[i]} />`)}</tr>`)}</tbody>
      </table></div>
      ${columns.some((column) => column.kind === "time") && html`<p class="muted xp-note" data-zone>${t("zone", { zone: zone() })}</p>`}
      ${answer.n > PAGE && html`<p class="xp-pages">
        <button class="button button-small" disabled=${page === 0} onClick=${() => setPage(page - 1)}>${t("before")}</button>
        <span class="num">${t("page", { from: count(from + 1), to: count(from + rows.length), n: count(answer.n) })}</span>
        <button class="button button-small" disabled=${from + PAGE >= answer.n} onClick=${() => setPage(page + 1)} data-next>${t("next")}</button></p>`}`;
  }

  function Pick({ label, value, options, onChange, name }) {
    return html`<label class="xp-pick"><span>${label}</span><select class="field" value=${String(value)} onChange=${(event) => onChange(Number(event.target.value))} data-pick=${name}>
      ${options.map(([key, text]) => html`<option key=${key} value=${String(key)}>${text}</option>`)}</select></label>`;
  }

  function Chart({ answer }) {
    const [choice, setChoice] = useState(() => guess(answer));
    useEffect(() => setChoice(guess(answer)), [answer]);
    const drawn = useMemo(() => {
      if (!choice || choice.x >= answer.columns.length || choice.y >= answer.columns.length) return null;
      if (choice.kind === "bar") {
        const bars = toBars(answer, choice);
        return { x: bars.names, lines: [{ name: answer.columns[choice.y], values: bars.values }], left: bars.left, time: false };
      }
      return { ...toLines(answer, choice), time: timeColumns(answer).includes(choice.x) };
    }, [answer, choice]);
    if (!choice || !drawn) return html`<p class="muted">${t("nothing_to_draw")}</p>`;
    const named = (list) => list.map((i) => [i, answer.columns[i]]);
    const set = (part) => setChoice({ ...choice, ...part });
    const line = choice.kind === "line";
    const xs = line ? [...new Set([...timeColumns(answer), ...numberColumns(answer)])] : nameColumns(answer);
    const draw = (kind) => {
      const first = kind === "line" ? [...timeColumns(answer), ...numberColumns(answer)][0] : nameColumns(answer)[0];
      if (first !== undefined) setChoice({ kind, x: first, y: choice.y, by: -1 });
    };
    return html`
      <div class="xp-picks">
        <${Choice} name="xp-kind" label=${t("kind")} value=${choice.kind} options=${[["line", t("line")], ["bar", t("bar")]]} onChange=${draw} />
        <${Pick} name="x" label=${t("x")} value=${choice.x} options=${named(xs)} onChange=${(x) => set({ x })} />
        <${Pick} name="y" label=${t("y")} value=${choice.y} options=${named(numberColumns(answer))} onChange=${(y) => set({ y })} />
        ${line && html`<${Pick} name="by" label=${t("by")} value=${choice.by} onChange=${(by) => set({ by })}
          options=${[[-1, t("one")], ...named(nameColumns(answer).filter((i) => i !== choice.x && i !== choice.y))]} />`}
      </div>
      <${Plot} kind=${choice.kind} time=${drawn.time} x=${drawn.x} lines=${drawn.lines} />
      ${drawn.left > 0 && html`<p class="muted">${t("left", { n: count(drawn.left) })}</p>`}`;
  }

  return { Editor, Columns, Table, Chart };
}
