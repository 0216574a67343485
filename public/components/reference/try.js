/** The form of one operation: fill in, send, see the answer, copy it as a command. */
import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { bytes } from "../../lib/format.js";
import { useSignal } from "../../lib/hooks.js";
import { t } from "../../lib/i18n.js";
import { bodyOf, curlOf, fieldsOf, hasMembers, keyOf, makeRequest, placeErrors, pretty, sampleBody } from "../../lib/openapi.js";
import { lang } from "../../lib/settings.js";
import { Choice } from "../bits.js";
import { call, token } from "./call.js";
import { Field } from "./field.js";

const PARTS = ["path", "query", "headers", "body"];

function beginning(operation, fields) {
  const texts = { body: sampleBody(operation) };
  for (const field of fields) texts[keyOf(field)] = field.initial;
  return texts;
}

/** <${Try} document=${document} operation=${operation} />, with the operation's id as its key */
export function Try({ document, operation }) {
  const fields = useMemo(() => fieldsOf(document, operation), [document, operation]);
  const [texts, setTexts] = useState(() => beginning(operation, fields));
  const [whole, setWhole] = useState(false);
  const [answer, setAnswer] = useState(null);
  const [wrong, setWrong] = useState({});
  const key = useSignal(token);
  const running = useRef(null);
  const form = useRef(null);
  useEffect(() => () => running.current?.abort(), []);

  const asks = Boolean(operation.spec.security?.length);
  const request = makeRequest(operation, fields, texts, whole);
  if (asks && key) request.headers.authorization = `Bearer ${key}`;
  const placed = placeErrors(answer?.json, whole ? fields.filter((field) => field.part !== "body") : fields);

  const put = (name) => (text) => {
    setTexts((now) => ({ ...now, [name]: text }));
    setWrong((now) => ({ ...now, [name]: undefined }));
  };
  const send = (event) => {
    event?.preventDefault();
    running.current?.abort();
    setWrong(request.wrong);
    if (Object.keys(request.wrong).length) return;
    running.current = new AbortController();
    const { signal } = running.current;
    setAnswer({ open: true, waiting: true });
    call(operation.method, request, (next) => signal.aborted && next.open || setAnswer(next), signal);
  };
  useEffect(() => {
    if (answer?.status === 422) form.current?.querySelector("[aria-invalid=true]")?.focus();
  }, [answer?.status, answer?.json]);

  const errorsOf = (name) => [...(wrong[name] ? [wrong[name]] : []), ...(placed.byKey[name] ?? [])];
  const media = bodyOf(operation);
  const parts = PARTS.map((part) => [part, fields.filter((field) => field.part === part)]);
  return html`
    <form class="try" ref=${form} onSubmit=${send} noValidate data-try
      onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && send(event)}>
      ${asks && html`<fieldset class="try-part"><legend>${t("ref.token")}</legend>
        <input class="field" type="password" autocomplete="off" aria-label=${t("ref.token")} placeholder=${t("ref.token_hint")} value=${key}
          onInput=${(event) => { token.value = event.target.value.trim(); }} data-token /></fieldset>`}
      ${parts.map(([part, some]) => (part !== "body" ? some.length > 0 : media) && html`
        <fieldset class="try-part" key=${part}>
          <legend>${t(`ref.part.${part}`)}</legend>
          ${part === "body" && hasMembers(media.schema) && html`<${Choice} name="ref-body" label=${t("ref.part.body")} value=${whole ? "json" : "form"}
            options=${[["form", t("ref.as_form")], ["json", "JSON"]]} onChange=${(as) => turn(as === "json")} />`}
          ${part === "body" && (whole || !hasMembers(media.schema))
            ? html`<${Whole} text=${texts.body} errors=${[...errorsOf("body"), ...placed.rest.map((e) => `${e.field}: ${e.message}`)]} onText=${put("body")} />`
            : html`<div class="ref-fields">${some.map((field) => html`<${Field} key=${keyOf(field)} field=${field} text=${texts[keyOf(field)] ?? ""} errors=${errorsOf(keyOf(field))} onText=${put(keyOf(field))} />`)}</div>`}
        </fieldset>`)}
      <div class="try-bar">
        <button class="button button-main" type="submit" data-send>${t("ref.send")}</button>
        ${answer?.open && html`<button class="button" type="button" onClick=${stop} data-stop>${t("ref.stop")}</button>`}
        <button class="button button-quiet" type="button" onClick=${() => { setTexts(beginning(operation, fields)); setAnswer(null); setWrong({}); }}>${t("ref.reset")}</button>
        <kbd title=${t("ref.send")}>Ctrl ⏎</kbd>
      </div>
      <${Command} text=${curlOf(location.origin, operation.method, request)} />
      <${AnswerBox} answer=${answer} rest=${whole || !media ? [] : placed.rest} />
    </form>`;

  /** What stands in the form goes into the text, and back as far as it fits. */
  function turn(toJson) {
    if (toJson) {
      setTexts((now) => ({ ...now, body: makeRequest(operation, fields, now, false).body ?? "" }));
    } else {
      try {
        const value = JSON.parse(texts.body || "{}");
        setTexts((now) => ({ ...now, ...Object.fromEntries(fields.filter((f) => f.part === "body").map((f) => [keyOf(f), shown(value?.[f.name])])) }));
      } catch {
        /* not JSON: the fields keep what they had */
      }
    }
    setWhole(toJson);
  }

  function stop() {
    running.current?.abort();
    setAnswer((now) => (now?.waiting ? null : { ...now, open: false }));
  }
}

const shown = (value) => (value === undefined ? "" : typeof value === "object" && value !== null ? pretty(value) : String(value));

function Whole({ text, errors, onText }) {
  return html`<div class=${errors.length ? "ref-field-bad" : ""}>
    <textarea class="field ref-json" aria-label=${t("ref.part.body")} aria-invalid=${errors.length ? "true" : null} data-field="body" value=${text}
      rows=${Math.min(24, Math.max(4, text.split("\n").length))} spellcheck=${false} onInput=${(event) => onText(event.target.value)}></textarea>
    ${errors.length > 0 && html`<ul class="ref-error" role="alert" data-field-error="body">${errors.map((error) => html`<li key=${error}>${error}</li>`)}</ul>`}
  </div>`;
}

function Command({ text }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      /* the browser does not let us: the text can be selected */
    }
  };
  return html`<div class="curl"><pre data-curl>${text}</pre>
    <button class="button button-small" type="button" onClick=${copy}>${t(copied ? "ref.copied" : "ref.copy")}</button></div>`;
}

function AnswerBox({ answer, rest }) {
  const language = lang.value;
  if (!answer) return null;
  if (answer.waiting) return html`<section class="answer" aria-busy="true"><p class="muted">${t("ref.waiting")}</p></section>`;
  const kind = answer.status === 0 || answer.status >= 500 ? "bad" : answer.status >= 400 ? "warn" : "ok";
  return html`
    <section class=${`answer answer-${kind}`} aria-live="polite" data-answer=${answer.status}>
      <header>
        <b class=${`pill pill-${kind}`}>${answer.status || t("error.unreachable")} ${answer.title}</b>
        <span class="num">${answer.ms < 10 ? answer.ms.toFixed(1) : Math.round(answer.ms)} ms</span>
        <span class="num">${bytes(answer.bytes, language)}</span>
        ${answer.open && html`<span class="muted">${t("ref.streaming")}</span>`}
      </header>
      ${rest.length > 0 && html`<ul class="ref-error" role="alert">${rest.map((error) => html`<li key=${error.field}><code>${error.field}</code> ${error.message}</li>`)}</ul>`}
      <details><summary>${t("ref.headers", { n: answer.headers.length })}</summary>
        <dl class="answer-headers">${answer.headers.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></details>
      ${answer.text && html`<pre class="answer-body" tabindex="0" data-answer-body>${answer.json === undefined ? answer.text : html`<${Pretty} value=${answer.json} />`}</pre>`}
      ${answer.cut && html`<p class="muted">${t("ref.cut")}</p>`}
    </section>`;
}

const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)/g;

/** JSON with names, texts, numbers and words told apart. */
function Pretty({ value }) {
  const text = JSON.stringify(value, null, 2);
  const out = [];
  let from = 0;
  for (const match of text.matchAll(TOKENS)) {
    const [whole, quoted, colon, word] = match;
    out.push(text.slice(from, match.index), html`<span class=${quoted ? (colon ? "j-name" : "j-text") : word ? "j-word" : "j-number"}>${quoted ?? whole}</span>`, colon ?? "");
    from = match.index + whole.length;
  }
  return html`${out}${text.slice(from)}`;
}
