/** One result as a row of a list: what it looks like, what it is called, how it went. */
import { between } from "./kit.js";

export function makeRow(kit) {
  const { html, t, useNow, Spark, Status } = kit;

  /** Without a row: the place of one that has not come yet. */
  function Row({ row }) {
    const now = useNow();
    if (!row) return html`<li class="inf-row inf-row-empty" aria-hidden="true"><i></i></li>`;
    const took = between(row.submitted_at, row.finished_at);
    return html`
      <li class="inf-row" data-result=${row.id}>
        <${Spark} result=${row.result} />
        <span class="inf-row-what"><a class="row-name inf-row-link" href=${kit.href({ id: row.id })} data-row>${kit.modelName(row.model_name)}</a>
          <span class="muted">${t(row.points === 1 ? "point" : "points", { n: kit.count(row.points) })}${row.status === "failed" && row.error ? html` · <span class="bad-text" title=${row.error.message}>${kit.reason(row.error.code)}</span>` : ""}</span></span>
        <span class="inf-row-state"><${Status} status=${row.status} /></span>
        <span class="inf-row-took muted num">${Number.isNaN(took) ? " " : kit.span(took)}</span>
        <time class="inf-row-when muted" datetime=${row.submitted_at} title=${kit.moment(row.submitted_at)}>${kit.ago(row.submitted_at, now)}</time>
      </li>`;
  }
  return Row;
}
