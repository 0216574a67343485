/**
 * In development the server adds this to every page: a plugin that does not load any more is shown over
 * whatever is open, with the failing lines, and goes away by itself when the fix lands. Esc hides it
 * until the next error. A page that shows a handler's error loads again when another version serves.
 */
import { t } from "../lib/i18n.js";
import { lang, theme } from "../lib/settings.js";
import { STYLE } from "./style.js";

/**
 * What /dev/events tells.
 * @typedef {Object} Failure
 * @property {string} plugin
 * @property {string} message
 * @property {string|null} at        "plugins/guestbook/plugin.lua:7"
 * @property {number} line
 * @property {{line: number, text: string}[]} lines
 * @property {string|null} kept      the generation that serves on
 * @property {string} time
 */

const isErrorPage = document.documentElement.hasAttribute("data-maru-error");
let failures = /** @type {Failure[]} */ ([]);
let hidden = "";
let firstSet = null;
let source = null;

const host = document.createElement("maru-overlay");
const root = host.attachShadow({ mode: "open" });
const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);
root.adoptedStyleSheets = [sheet];

/** Which errors these are: the same ones stay hidden once they were. */
const mark = (list) => list.map((f) => `${f.plugin} ${f.time}`).join("\n");

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** @param {Failure} failure */
function codeFrame(failure) {
  if (failure.lines.length === 0) return null;
  return element("pre", { className: "lines", tabIndex: 0, "data-lines": "" }, ...failure.lines.map(({ line, text }) =>
    element("span", { className: line === failure.line ? "line failing" : "line", "data-line": String(line) },
      element("i", { textContent: String(line), "aria-hidden": "true" }), `${text}\n`)));
}

/** @param {Failure} failure @param {number} index */
function section(failure, index) {
  return element("section", { "data-plugin": failure.plugin },
    element("h2", { id: `title${index}`, textContent: t("develop.title", failure) }),
    element("p", { className: "message", id: `message${index}`, textContent: failure.message }),
    failure.at ? element("p", { className: "at", textContent: failure.at }) : null,
    codeFrame(failure),
    element("p", { className: failure.kept ? "kept" : "kept gone", textContent: failure.kept ? t("develop.kept", failure) : t("develop.none") }),
    element("p", { className: "hint" }, `${t("develop.hint")} `, element("code", { textContent: `maru check ${failure.plugin}` }), ` ${t("develop.check")}`));
}

function hide() {
  hidden = mark(failures);
  draw();
}

function draw() {
  const shown = failures.length > 0 && mark(failures) !== hidden;
  const was = root.querySelector("dialog");
  if (!shown) {
    was?.close();
    host.remove();
    return;
  }
  host.lang = lang.value;
  host.style.colorScheme = theme.value === "auto" ? "light dark" : theme.value;
  const close = element("button", { className: "close", textContent: t("develop.hide"), onclick: hide, "data-hide": "" });
  const dialog = element("dialog", { role: "alertdialog", "aria-labelledby": "title0", "aria-describedby": "message0" },
    element("div", { className: "boards", "aria-hidden": "true" }), ...failures.map(section), element("footer", {}, close));
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    hide();
  });
  was?.close();
  root.replaceChildren(dialog);
  if (!host.isConnected) document.body.append(host);
  dialog.showModal();
  close.focus({ preventScroll: true });
}

function listen() {
  source = new EventSource("/dev/events");
  source.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    firstSet ??= state.set;
    if (isErrorPage && state.set > firstSet) location.reload();
    if (mark(state.failures) === mark(failures)) return;
    failures = state.failures;
    draw();
  });
}

/* Browsers allow few connections to one server: a hidden page lets go of its own. */
function follow() {
  source?.close();
  source = null;
  if (!document.hidden) listen();
}

lang.subscribe(draw);
theme.subscribe(draw);
document.addEventListener("visibilitychange", follow);
addEventListener("pagehide", () => source?.close());
follow();
