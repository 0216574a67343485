/** The API: what every plugin's routes take and answer, and a form to try them with. */
import { html, render, useEffect, useMemo, useState } from "../lib/html.js";
import { useResource, useSignal } from "../lib/hooks.js";
import { t } from "../lib/i18n.js";
import { bodyOf, groupByTag, operationsOf, pretty, refName, resolve, searchOperations } from "../lib/openapi.js";
import { href } from "../lib/route.js";
import { lang } from "../lib/settings.js";
import { Failure, Note } from "../components/bits.js";
import { Schema } from "../components/reference/schema.js";
import { Try } from "../components/reference/try.js";

const DOCUMENT = "/api/openapi.json";

/** @param {HTMLElement} root @param {import("../app.js").PageContext} ctx */
export function mount(root, ctx) {
  render(html`<${ReferencePage} ctx=${ctx} />`, root);
  return () => render(null, root);
}

function ReferencePage({ ctx }) {
  const language = useSignal(lang);
  const route = useSignal(ctx.route);
  const id = route.page === "reference" ? route.params.id ?? null : null;
  const [text, setText] = useState(route.query.get("q") ?? "");
  const found = useResource((signal) => ctx.api.get(DOCUMENT, null, signal), [], { stream: ctx.stream, keep: DOCUMENT });
  const operations = useMemo(() => operationsOf(found.data), [found.data]);
  const operation = operations.find((o) => o.id === id) ?? null;
  useEffect(() => {
    ctx.title.value = operation ? `${operation.method} ${operation.path}` : t("nav.reference");
  }, [operation, language]);
  useEffect(() => {
    if (id) scrollTo(0, 0);
  }, [id]);

  if (!found.data && found.error) return html`<h1>${t("nav.reference")}</h1><${Failure} error=${found.error} retry=${found.reload} />`;
  return html`
    <div class=${`reference${id ? " reference-open" : ""}`} data-reference>
      <nav class="ref-side" aria-label=${t("ref.operations")}>
        <h1>${t("nav.reference")} <a class="ref-json-link" href=${DOCUMENT} target="_blank" rel="noopener">openapi.json</a></h1>
        <div class="search ref-search"><input class="field" type="search" value=${text} placeholder=${t("ref.search")} aria-label=${t("ref.search")}
          onInput=${(event) => setText(event.target.value)} data-search /><kbd>/</kbd></div>
        <${List} operations=${searchOperations(operations, text)} current=${id} loading=${!found.data} />
      </nav>
      <div class="ref-main">
        ${operation ? html`<${Detail} key=${operation.id} document=${found.data} operation=${operation} />`
          : id && found.data ? html`<a class="back" href="#/reference" data-back>← ${t("nav.reference")}</a><${Note} title=${t("ref.missing")}><p class="mono">${id}</p></${Note}>`
          : html`<div class="ref-none">${found.data && html`<${Note} title=${t("ref.choose")}><p class="muted">${t("ref.choose_text", { n: operations.length })}</p></${Note}>`}</div>`}
      </div>
    </div>`;
}

function List({ operations, current, loading }) {
  if (loading) return html`<ul class="ref-list" aria-busy="true">${[1, 2, 3, 4, 5].map((i) => html`<li key=${i} class="skeleton"><i></i></li>`)}</ul>`;
  if (operations.length === 0) return html`<p class="muted">${t("ref.no_match")}</p>`;
  return groupByTag(operations).map(([tag, some]) => html`
    <section key=${tag} aria-label=${tag}>
      <h2 class="ref-tag">${tag}</h2>
      <ul class="ref-list">${some.map((o) => html`
        <li key=${o.id}><a class=${`ref-link${o.spec.deprecated ? " ref-old" : ""}`} href=${href(`/reference/${encodeURIComponent(o.id)}`)}
          aria-current=${o.id === current ? "page" : null} data-row data-operation=${o.id}>
          <${Method} name=${o.method} /><span class="ref-link-text"><code>${breakable(o.path)}</code>${o.summary && html`<small>${o.summary}</small>`}</span></a></li>`)}
      </ul>
    </section>`);
}

function Method({ name }) {
  return html`<span class=${`method method-${name.toLowerCase()}`}>${name === "DELETE" ? "DEL" : name === "OPTIONS" ? "OPT" : name}</span>`;
}

/** A path may be broken behind a slash, and its parameters stand out. */
function breakable(path) {
  return path.split(/(\/)/).map((part) => (part === "/" ? html`/<wbr />` : /^\{/.test(part) ? html`<span class="param">${part}</span>` : part));
}

function Detail({ document, operation }) {
  const { spec } = operation;
  const limits = spec["x-maru"] ?? {};
  const facts = [
    ...(spec.security ?? []).flatMap((one) => Object.keys(one)).map((name) => [t("ref.needs"), t(`ref.auth.${name}`)]),
    ...["rate", "cache", "max_body", "timeout"].filter((key) => limits[key] !== undefined).map((key) => [t(`ref.${key}`), String(limits[key])]),
  ];
  const media = bodyOf(operation);
  return html`
    <article aria-label=${`${operation.method} ${operation.path}`} data-detail=${operation.id}>
      <a class="back" href="#/reference" data-back>← ${t("nav.reference")}</a>
      <header class="ref-head">
        <h2><${Method} name=${operation.method} /> <code>${breakable(operation.path)}</code></h2>
        <p class="ref-summary">${operation.summary}${spec.deprecated && html` <span class="old">${t("ref.deprecated")}</span>`}</p>
        ${spec.description && html`<p class="ref-text">${spec.description}</p>`}
        <dl class="ref-facts"><div><dt>${t("ops.plugin")}</dt><dd>${operation.tag}</dd></div>
          ${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
      </header>
      <section class="section" aria-labelledby="ref-try"><h2 id="ref-try">${t("ref.try")}</h2><${Try} document=${document} operation=${operation} /></section>
      ${media && html`<section class="section" aria-labelledby="ref-body"><h2 id="ref-body">${t("ref.part.body")}</h2>
        ${media.schema.description && html`<p class="ref-text">${media.schema.description}</p>`}<${Schema} schema=${media.schema} /></section>`}
      <section class="section" aria-labelledby="ref-answers"><h2 id="ref-answers">${t("ref.answers")}</h2>
        ${Object.entries(spec.responses).map(([status, answer]) => html`<${Answer} key=${status} document=${document} status=${status} answer=${resolve(document, answer)} common=${refName(answer)} />`)}
      </section>
    </article>`;
}

/** `common`: the name of an answer that many routes share; those are told in the reader's language. */
function Answer({ document, status, answer, common }) {
  const [type, media] = Object.entries(answer.content ?? {})[0] ?? [];
  const schema = media?.schema && resolve(document, media.schema);
  const worth = schema && type === "application/json" && (schema.properties || schema.items || schema.type || schema.anyOf);
  const kind = status === "default" ? "idle" : status >= 500 ? "bad" : status >= 400 ? "warn" : "ok";
  const head = html`<span class=${`pill pill-${kind}`}>${status === "default" ? t("ref.other") : status}</span><span>${common ? t(`ref.answer.${common}`) : answer.description}</span>${type && html`<code class="muted">${type}</code>`}`;
  if (!worth) return html`<div class="ref-answer">${head}</div>`;
  return html`<details class="ref-answer" open=${status < 300}><summary>${head}</summary><${Schema} schema=${schema} />
    ${"example" in media && html`<pre class="answer-body" tabindex="0">${pretty(media.example)}</pre>`}</details>`;
}
