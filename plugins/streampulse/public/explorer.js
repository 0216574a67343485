/** The data explorer: an operator's SQL over the series and the tables, as a table, a chart or a file. */
import { EXAMPLES, WORDS } from "./explorer_words.js";
import { makeParts } from "./explorer_parts.js";

const KEPT = "streampulse.explorer";

/** @param {HTMLElement} root @param {import("/app.js").PageContext} ctx */
export function mount(root, ctx) {
  const { html, render } = ctx.markup;
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("./explorer.css", import.meta.url).href;
  document.head.append(style);
  const Explorer = makeExplorer(ctx, ctx.words(WORDS));
  render(html`<${Explorer} />`, root);
  return () => {
    render(null, root);
    style.remove();
  };
}

/** What was written last in this tab; a browser that keeps nothing is fine. */
function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

function remember(state) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(state));
  } catch { /* nothing is lost but the text of this tab */ }
}

function makeExplorer(ctx, t) {
  const { html, useEffect, useRef, useState } = ctx.markup;
  const { useResource, useSignal } = ctx.hooks;
  const { Choice, Failure, Note } = ctx.components;
  const { Editor, Columns, Table, Chart } = makeParts(ctx, t);
  const count = (n) => ctx.format.count(n, ctx.lang.value);

  return function Explorer() {
    useSignal(ctx.lang);
    const before = useRef(recall()).current;
    const [source, setSource] = useState(before.source ?? "series");
    const [sql, setSql] = useState(before.sql ?? EXAMPLES[0].sql);
    const [limit, setLimit] = useState(1000);
    const [view, setView] = useState("table");
    const [state, setState] = useState({ answer: null, error: null, running: null });
    const [said, setSaid] = useState("");
    const field = useRef(null);
    const tables = useResource((signal) => ctx.api.get("/api/explorer/tables", null, signal), []);
    const saved = useResource((signal) => ctx.api.get("/api/explorer/saved", null, signal), []);
    useEffect(() => remember({ source, sql }), [source, sql]);
    useEffect(() => () => state.running?.abort(), [state.running]);

    async function run(from = source, text = sql) {
      state.running?.abort();
      const running = new AbortController();
      setSaid("");
      setState((s) => ({ ...s, error: null, running }));
      try {
        const answer = await ctx.api.request("/api/explorer/query", { method: "POST", signal: running.signal, timeout: 65000,
          body: { source: from, sql: text, limit } });
        setState({ answer, error: null, running: null });
      } catch (error) {
        if (!running.signal.aborted) setState({ answer: null, error, running: null });
        else setState((s) => (s.running === running ? { ...s, running: null } : s));
      }
    }

    /** Something to look at from the start; what somebody wrote runs when that somebody says so. */
    useEffect(() => {
      if (tables.data && EXAMPLES.some((each) => each.sql === sql && each.source === source)) run();
    }, [Boolean(tables.data)]);

    function choose(question) {
      setSource(question.source);
      setSql(question.sql);
      run(question.source, question.sql);
    }

    function insert(name) {
      const box = field.current;
      box.focus();
      box.setRangeText(name, box.selectionStart, box.selectionEnd, "end");
      setSql(box.value);
    }

    async function keep() {
      const name = prompt(t("save_as"))?.trim();
      if (!name) return;
      try {
        await ctx.api.request(`/api/explorer/saved/${encodeURIComponent(name)}`, { method: "PUT", body: { source, sql } });
        setSaid(t("saved_now", { name }));
        saved.reload();
      } catch (error) {
        setState((s) => ({ ...s, error }));
      }
    }

    async function forget(name) {
      if (!confirm(t("sure", { name }))) return;
      try {
        await ctx.api.request(`/api/explorer/saved/${encodeURIComponent(name)}`, { method: "DELETE" });
      } finally {
        saved.reload();
      }
    }

    async function download(format) {
      try {
        await save(await fetch("/api/explorer/download", { method: "POST", credentials: "same-origin",
          headers: { "content-type": "application/json" }, body: JSON.stringify({ source, sql, format }) }), format);
      } catch (error) {
        setState((s) => ({ ...s, error }));
      }
    }

    if (tables.error?.status === 401) {
      return html`<${Note} title=${t("locked")}><p class="muted" data-locked>${t("locked_text")}</p></${Note}>`;
    }
    if (!tables.data && tables.error) return html`<${Failure} error=${tables.error} retry=${tables.reload} />`;
    if (!tables.data) return html`<p class="muted" aria-busy="true">${t("loading")}</p>`;
    const { answer, error, running } = state;
    const ms = answer ? count(Math.max(1, Math.round(answer.seconds * 1000))) : "";
    return html`
      <div class="xp">
        <aside class="xp-side">
          <${Choice} name="xp-source" label=${t("source")} value=${source} onChange=${setSource}
            options=${[["series", t("series")], ["tables", t("tables")]]} />
          <p class="xp-note muted">${t(`note_${source}`)}</p>
          <${Columns} tables=${tables.data?.[source] ?? []} insert=${insert} />
          <h2>${t("examples")}</h2>
          <ul class="xp-list">${EXAMPLES.map((each) => html`<li key=${each.key}><button class="xp-link" onClick=${() => choose(each)} data-example=${each.key}>${t(each.key)}</button></li>`)}</ul>
          <h2>${t("saved")}</h2>
          ${saved.data?.saved.length > 0 ? html`<ul class="xp-list">${saved.data.saved.map((each) => html`
            <li key=${each.name}><button class="xp-link" onClick=${() => choose(each)} data-saved=${each.name}>${each.name}</button>
              <button class="xp-remove" aria-label=${`${t("remove")}: ${each.name}`} title=${t("remove")} onClick=${() => forget(each.name)} data-remove=${each.name}>×</button></li>`)}</ul>`
            : html`<p class="muted">${saved.data ? t("none_saved") : t("loading")}</p>`}
        </aside>
        <section class="xp-main">
          <${Editor} value=${sql} onChange=${setSql} onRun=${() => run()} field=${field} />
          <div class="xp-bar">
            ${running ? html`<button class="button" onClick=${() => running.abort()} data-stop>${t("stop")}</button>`
              : html`<button class="button xp-run" onClick=${() => run()} data-run>${t("run")}</button>`}
            <label class="xp-pick"><span>${t("limit")}</span><select class="field" value=${String(limit)} onChange=${(event) => setLimit(Number(event.target.value))} data-limit>
              ${[100, 1000, 10000].map((n) => html`<option key=${n} value=${String(n)}>${count(n)}</option>`)}</select></label>
            <button class="button" onClick=${keep} data-save>${t("save")}</button>
            <span class="muted xp-keys">${running ? t("running") : t("keys")}</span>
          </div>
          <div class="xp-answer" aria-live="polite" aria-busy=${running ? "true" : "false"}>
            ${said && html`<p class="muted" data-said>${said}</p>`}
            ${error && html`<${Wrong} error=${error} sql=${sql} field=${field} />`}
            ${!answer && !error && html`<p class="muted">${running ? t("running") : t("first")}</p>`}
            ${answer && html`
              <div class="xp-bar">
                <b class="num" data-rows>${answer.n === 1 ? t("row", { ms }) : t("rows", { n: count(answer.n), ms })}</b>
                <${Choice} name="xp-view" label=${t("table")} value=${view} onChange=${setView} options=${[["table", t("table")], ["chart", t("chart")]]} />
                <span class="xp-files"><button class="button button-small" onClick=${() => download("csv")} title=${t("file_note")} data-csv>${t("csv")}</button>
                  <button class="button button-small" onClick=${() => download("parquet")} title=${t("file_note")} data-parquet>${t("parquet")}</button></span>
              </div>
              ${answer.more && html`<p class="xp-more" data-more>${t("more", { n: count(answer.n) })}</p>`}
              ${view === "table" ? html`<${Table} answer=${answer} />` : html`<${Chart} answer=${answer} />`}
              <p class="muted xp-note">${t("file_note")}</p>`}
          </div>
        </section>
      </div>`;
  };

  /** What is wrong, and a way to the place of it. */
  function Wrong({ error, sql, field }) {
    const place = /^line (\d+) column (\d+): /.exec(error.message ?? "");
    const show = () => {
      const lines = sql.split("\n");
      const start = lines.slice(0, Number(place[1]) - 1).reduce((n, line) => n + line.length + 1, 0);
      const rest = (lines[Number(place[1]) - 1] ?? "").slice(0);
      const at = start + [...rest].slice(0, Number(place[2]) - 1).join("").length;
      const word = /^[\w"]+/.exec(sql.slice(at))?.[0].length ?? 1;
      field.current.focus();
      field.current.setSelectionRange(at, at + word);
    };
    return html`<${Note} kind="bad" title=${t("wrong")}><p class="mono" data-wrong>${error.message}</p>
      ${place && html`<button class="button button-small" onClick=${show} data-goto>${t("goto")}</button>`}</${Note}>`;
  }
}

async function save(response, format) {
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.detail ?? `HTTP ${response.status}`);
  }
  const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? `answer.${format}`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
