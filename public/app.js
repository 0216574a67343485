/** The shell: reads the address, mounts the page it names, keeps the one event stream. */
import * as api from "./lib/api.js";
import * as format from "./lib/format.js";
import * as markup from "./lib/html.js";
import * as hooks from "./lib/hooks.js";
import { pick, t, words } from "./lib/i18n.js";
import { listenToKeys } from "./lib/keys.js";
import { parseRoute } from "./lib/route.js";
import { lang, theme } from "./lib/settings.js";
import { signal } from "./lib/signal.js";
import { openStream } from "./lib/stream.js";
import { keepScroll } from "./lib/scroll.js";
import * as bits from "./components/bits.js";
import { Plot } from "./components/plot.js";
import * as pivot from "./lib/pivot.js";
import { mountShell } from "./components/shell.js";

const PAGES = {
  live: () => import("./pages/live.js"),
  channel: () => import("./pages/channel.js"),
  events: () => import("./pages/events.js"),
  operations: () => import("./pages/operations.js"),
  reference: () => import("./pages/reference.js"),
  plugin: () => import("./pages/plugin.js"),
};

const main = document.getElementById("main");
const route = signal(parseRoute(location.hash));
const pages = signal(/** @type {any[]} */ ([]));
const listing = signal({ known: false, error: /** @type {Error|null} */ (null), retry: loadPages });
const title = signal("");
const simulated = signal(false);

/**
 * What every page is given, the shell's own and the plugins' alike.
 * @typedef {Object} PageContext
 * @property {import("./lib/signal.js").Signal<import("./lib/route.js").Route>} route
 * @property {ReturnType<typeof openStream>} stream
 * @property {typeof api} api
 * @property {typeof format} format
 * @property {typeof markup} markup       html, render and the preact hooks
 * @property {typeof hooks} hooks
 * @property {import("./lib/signal.js").Signal<"ko"|"en">} lang
 * @property {import("./lib/signal.js").Signal<string>} theme
 * @property {import("./lib/signal.js").Signal<any[]>} pages   what /api/pages lists
 * @property {import("./lib/signal.js").Signal<{known: boolean, error: Error|null, retry: () => void}>} listing
 *   whether it has answered yet, and why not
 * @property {import("./lib/signal.js").Signal<string>} title  the page's own part of the window title
 * @property {import("./lib/signal.js").Signal<boolean>} simulated
 * @property {(pair: any) => string} pick                      the shown language of a {ko, en} pair
 * @property {typeof words} words                              says the words that a plugin's page brings
 * @property {typeof signal} signal
 * @property {typeof pivot} pivot          rows of an answer as lines and bars
 * @property {typeof bits & {Plot: typeof Plot}} components    small things pages are made of, and a chart of any columns
 */
const ctx = {
  route, pages, listing, title, simulated, lang, theme, api, format, markup, hooks, pick, words, signal, pivot,
  components: { ...bits, Plot },
  stream: openStream("/api/live/stream", ["hello", "live", "event", "analysis"]),
};

let shown = { key: "", unmount: () => {} };
let turn = 0;

async function show(next) {
  const key = next.page === "plugin" ? next.path : next.page;
  route.value = next;
  if (key === shown.key) return;
  const mine = ++turn;
  let page;
  try {
    page = await PAGES[next.page]();
  } catch {
    /* The server left between two pages: try again when it is back. */
    const off = ctx.stream.on("sync", () => {
      off();
      if (mine === turn) show(parseRoute(location.hash));
    });
    return;
  }
  if (mine !== turn) return;
  const first = shown.key === "";
  shown.unmount();
  shown = { key, unmount: page.mount(main, ctx) };
  if (!first) main.focus({ preventScroll: true });
}

function retitle() {
  document.title = title.value ? `${title.value} · maru` : "maru";
}

async function loadPages() {
  try {
    const found = await api.get("/api/pages");
    if (Array.isArray(found)) pages.value = found;
    listing.value = { ...listing.value, known: true, error: null };
  } catch (error) {
    /* What was known stays; the next sync asks again. */
    listing.value = { ...listing.value, error };
  }
}

document.documentElement.lang = lang.value;
lang.subscribe((value) => {
  document.documentElement.lang = value;
});
theme.subscribe((value) => {
  document.documentElement.dataset.theme = value;
});
title.subscribe(retitle);
ctx.stream.on("hello", (data) => {
  simulated.value = Boolean(data?.simulated);
});
ctx.stream.on("sync", loadPages);

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

const shell = mountShell(document.getElementById("header"), document.getElementById("overlay"), ctx);
listenToKeys(document, { help: shell.help });
keepScroll();
addEventListener("hashchange", () => show(parseRoute(location.hash)));
show(route.value);
document.title = t("brand");
