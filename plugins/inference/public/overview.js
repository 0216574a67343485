/** The dashboard: how much goes through, how fast, how well, and what came last. */
const ROWS = 8;

export function makeOverview(kit) {
  const { ctx, html, t, useRef, useState, Failure, Note, Num, Row } = kit;

  function Tile({ name, value, text, note, title = t(name) }) {
    return html`<div class="tile inf-tile" data-tile=${name}><h2>${title}</h2><p class="tile-number"><${Num} value=${value} text=${text} /></p><p class="tile-foot">${note ?? " "}</p></div>`;
  }

  function Tiles({ s, totals }) {
    const tail = (times) => (times ? t("tail", { p95: kit.ms(times.p95), p99: kit.ms(times.p99) }) : "");
    const rate = totals ? totals.success_rate : null;
    return html`
      <section class="inf-tiles" aria-label=${t("figures")} aria-busy=${!s}>
        <${Tile} name="throughput" value=${s?.completed_per_second} text=${s ? t("per_second", { n: kit.rate(s.completed_per_second) }) : "–"} note=${s && t("submitted", { n: kit.rate(s.submitted_per_second) })} />
        <${Tile} name="latency" value=${s?.latency_ms?.p50} text=${kit.ms(s?.latency_ms?.p50)} note=${tail(s?.latency_ms)} />
        <${Tile} name="processing" value=${s?.processing_ms?.p50} text=${kit.ms(s?.processing_ms?.p50)} note=${tail(s?.processing_ms)} />
        <${Tile} name="success" value=${rate} text=${totals && totals.completed + totals.failed > 0 ? kit.share(rate) : "–"} note=${totals && t("failed_n", { n: kit.count(totals.failed) })} />
        <${Tile} name="queue" value=${s?.queue_depth} text=${kit.count(s?.queue_depth)} note=${t("queue_note")} />
        <${Tile} name="total" value=${totals?.total_jobs} text=${kit.count(totals?.total_jobs)} note=${totals && totals.total_jobs !== undefined && t("total_note", { n: kit.count(totals.completed) })} />
      </section>`;
  }

  /** A bar a minute: failed ones stand on those that were completed. */
  function Minutes({ s }) {
    const [at, setAt] = useState(-1);
    const minutes = s?.per_minute ?? [];
    const most = Math.max(1, ...minutes.map((m) => m.completed + m.failed));
    const chosen = minutes[at >= 0 && at < minutes.length ? at : minutes.length - 1];
    const onKey = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || minutes.length === 0) return;
      event.preventDefault();
      setAt((i) => Math.max(0, Math.min(minutes.length - 1, (i < 0 ? minutes.length - 1 : i) + step)));
    };
    const at_ = (m) => ctx.format.moment(m.at, ctx.lang.value);
    return html`
      <section class="inf-card inf-per-minute"><div class="section-head"><h2>${t("per_minute")}</h2><span class="muted">${t("window", { n: 15 })}</span></div>
        <div class="inf-minutes-box" tabindex="0" role="group" aria-label=${t("minutes_label", { n: minutes.length, most: kit.count(most) })} onKeyDown=${onKey} onPointerLeave=${() => setAt(-1)} data-minutes=${minutes.length}>
          <p class="inf-read" role="status">${chosen ? t("minute", { at: at_(chosen), completed: kit.count(chosen.completed), failed: kit.count(chosen.failed) }) : t("no_minutes")}</p>
          <div class="inf-minutes" aria-hidden="true">${minutes.map((m, i) => html`
            <div key=${i} class=${`inf-minute${chosen === m && at >= 0 ? " inf-minute-at" : ""}`} onPointerEnter=${() => setAt(i)}>
              <i class="inf-bar-failed" style=${`height:${(100 * m.failed) / most}%`}></i><i class="inf-bar-done" style=${`height:${(100 * m.completed) / most}%`}></i></div>`)}</div>
          <p class="inf-axis muted" aria-hidden="true"><span>${minutes[0] ? at_(minutes[0]) : ""}</span><span>${minutes.length > 1 ? at_(minutes[minutes.length - 1]) : ""}</span></p>
        </div></section>`;
  }

  /** Why they failed, and what was cancelled; nothing when all went well. */
  function Ends({ s }) {
    const reasons = s?.failed_by ?? [];
    if (reasons.length === 0 && !s?.cancelled) return null;
    return html`<p class="muted inf-small inf-ends" data-ends>${reasons.length > 0 && html`<span>${t("failed")}: ${reasons.map((r) => `${kit.reason(r.code)} ${kit.count(r.count)}`).join(" · ")}</span>`}
      ${s.cancelled > 0 && html`<span>${t("cancelled_n", { n: kit.count(s.cancelled) })}</span>`}</p>`;
  }

  function Models({ s }) {
    const rows = s?.by_model ?? [];
    return html`
      <section class="inf-card"><div class="section-head"><h2>${t("by_model")}</h2><span class="muted">${t("window", { n: 15 })}</span></div>
        ${rows.length === 0 ? html`<p class="muted inf-empty">${s ? t("no_minutes") : t("loading")}</p>` : html`
          <table class="data inf-by-model"><thead><tr><th scope="col">${t("model")}</th>${["completed", "failed"].map((key) => html`<th scope="col" key=${key} class="c-number">${t(key)}</th>`)}
            <th scope="col" class="c-number">p50</th><th scope="col" class="c-number">p99</th></tr></thead>
            <tbody>${rows.map((row) => html`<tr key=${row.model_name} data-model-row=${row.model_name}><td class="inf-wide"><b>${kit.modelName(row.model_name)}</b></td>
              <td class="c-number" data-label=${t("completed")}>${kit.count(row.completed)}</td><td class="c-number" data-label=${t("failed")}><span class=${row.failed > 0 ? "bad-text" : ""}>${kit.count(row.failed)}</span></td>
              <td class="c-number" data-label="p50">${kit.ms(row.p50)}</td><td class="c-number" data-label="p99">${kit.ms(row.p99)}</td></tr>`)}</tbody></table>`}
        <${Ends} s=${s} />
      </section>`;
  }

  /** While somebody is at the rows they stay; each is a place, so that a new one moves nothing. */
  function Recent({ recent }) {
    const [held, setHeld] = useState(false);
    const shown = useRef(null);
    if (!held || !shown.current) shown.current = recent.rows;
    const rows = shown.current;
    if (!rows && recent.error) return html`<${Failure} error=${recent.error} retry=${recent.reload} />`;
    if (rows && rows.length === 0) {
      return html`<${Note} title=${t("nothing_yet")}><p class="muted">${t("nothing_yet_text")}</p><a class="button" href=${kit.href({ view: "submit" })}>${t("start")}</a></${Note}>`;
    }
    return html`
      <ul class="inf-rows" aria-busy=${!rows} data-recent onPointerEnter=${(e) => e.pointerType === "mouse" && setHeld(true)} onPointerLeave=${() => setHeld(false)}
        onFocusIn=${() => setHeld(true)} onFocusOut=${() => setHeld(false)}>
        ${Array.from({ length: rows ? Math.min(ROWS, rows.length) : ROWS }, (_, i) => html`<${Row} key=${i} row=${rows?.[i]} />`)}
      </ul>`;
  }

  return function Overview({ live, recent, statistics }) {
    const s = statistics.data;
    const totals = live.update?.statistics ?? (s ? { success_rate: s.success_rate, completed: s.completed, failed: s.failed } : null);
    if (!s && statistics.error && !totals) return html`<${Failure} error=${statistics.error} retry=${statistics.reload} />`;
    return html`
      <${Tiles} s=${s} totals=${totals} />
      <section class="section"><div class="section-head"><h2>${t("recent")}</h2><a href=${kit.href({ view: "results" })}>${t("all_results")}</a></div><${Recent} recent=${recent} /></section>
      <div class="inf-pair"><${Minutes} s=${s} /><${Models} s=${s} /></div>`;
  };
}
