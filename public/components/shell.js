/** Around every page: brand, navigation, the state of the connection, language, theme, help. */
import { html, render, useEffect, useRef, useState } from "../lib/html.js";
import { useNow, useSignal } from "../lib/hooks.js";
import { pick, t } from "../lib/i18n.js";
import { ago, clock } from "../lib/format.js";
import { lang, showsDark, theme, toggleLanguage, toggleTheme } from "../lib/settings.js";

const LINKS = [["live", "#/live"], ["events", "#/events"], ["operations", "#/operations"], ["reference", "#/reference"]];
const KEYS = [["/", "search"], ["j k", "walk"], ["Enter", "open"], ["Esc", "back"], ["← → + −", "chart"], ["?", "help"]];

/**
 * @param {HTMLElement} header
 * @param {HTMLElement} overlay    holds what floats: the connection banner and the help
 * @param {import("../app.js").PageContext} ctx
 */
export function mountShell(header, overlay, ctx) {
  let openHelp = () => {};
  render(html`<${Header} ctx=${ctx} help=${() => openHelp()} />`, header);
  render(html`<${Banner} stream=${ctx.stream} /><${Help} expose=${(open) => { openHelp = open; }} />`, overlay);
  return { help: () => openHelp() };
}

function Header({ ctx, help }) {
  const route = useSignal(ctx.route);
  const pages = useSignal(ctx.pages);
  const language = useSignal(lang);
  useSignal(theme);
  const current = route.page === "channel" ? "live" : route.page;
  const nav = useRef(null);
  useEffect(() => bringIntoView(nav.current), [route.path, current, pages, language]);
  return html`
    <div class="header-row">
      <a class="brand" href="#/live" aria-label=${t("brand")}>
        <${Mark} /><span class="brand-name">maru</span>
      </a>
      <nav class="nav" ref=${nav} aria-label=${t("nav.label")}>
        ${LINKS.map(([page, href]) => html`
          <a href=${href} aria-current=${current === page ? "page" : null}>${t(`nav.${page}`)}</a>`)}
        ${pages.map((page) => html`
          <a href=${`#${page.path}`} key=${page.path} aria-current=${route.path === page.path ? "page" : null}>${pick(page.title)}</a>`)}
      </nav>
      <${Simulated} ctx=${ctx} />
      <${Link} stream=${ctx.stream} />
      <div class="header-buttons">
        <button class="icon-button lang-button" onClick=${toggleLanguage} aria-label=${t("lang.switch")} title=${t("lang.switch")} data-lang-toggle>
          ${language === "ko" ? "EN" : "한"}
        </button>
        <button class="icon-button" onClick=${toggleTheme} aria-label=${t(showsDark() ? "theme.light" : "theme.dark")} title=${t(showsDark() ? "theme.light" : "theme.dark")} data-theme-toggle>
          <${ThemeIcon} />
        </button>
        <button class="icon-button help-button" onClick=${help} aria-label=${t("help.title")} title=${t("help.title")}>?</button>
      </div>
    </div>`;
}

/** Where the links are wider than the screen, the current one is in the middle of what is seen. */
function bringIntoView(nav) {
  const link = nav?.querySelector("[aria-current]");
  if (!link) return;
  const outer = nav.getBoundingClientRect(), inner = link.getBoundingClientRect();
  nav.scrollLeft += inner.left - outer.left - (outer.width - inner.width) / 2;
}

function Simulated({ ctx }) {
  const on = useSignal(ctx.simulated);
  return on && html`<span class="simulated" title=${t("simulated.help")} data-simulated>${t("simulated")}</span>`;
}

/** A dot and a word; colour is never the only sign. */
function Link({ stream }) {
  const state = useSignal(stream.state);
  return html`<span class=${`link link-${state}`} data-link=${state} role="status" title=${t(`link.${state}.help`)}>
    <span class="dot" aria-hidden="true"></span><span class="link-text">${t(`link.${state}`)}</span></span>`;
}

/** Floats over the page, so that losing the server moves nothing. */
function Banner({ stream }) {
  const state = useSignal(stream.state);
  const since = useSignal(stream.since);
  const now = useNow();
  const language = useSignal(lang);
  if (state !== "gone") return html`<div class="banner-place" role="alert"></div>`;
  return html`
    <div class="banner-place" role="alert">
      <div class="banner" data-banner>
        <span class="spinner" aria-hidden="true"></span>
        <span><b>${t("gone.title")}</b> ${t("gone.text", { at: clock(since / 1000, language), ago: ago(since / 1000, now, language) })}</span>
        <button class="button" onClick=${stream.retry}>${t("gone.retry")}</button>
      </div>
    </div>`;
}

function Help({ expose }) {
  const dialog = useRef(null);
  const [open, setOpen] = useState(false);
  useSignal(lang);
  useEffect(() => expose(() => setOpen(true)), []);
  useEffect(() => {
    if (open && !dialog.current.open) dialog.current.showModal();
  }, [open]);
  const close = () => dialog.current.close();
  return html`
    <dialog class="help" ref=${dialog} onClose=${() => setOpen(false)} aria-labelledby="help-title"
      onClick=${(event) => event.target === dialog.current && close()}>
      <h2 id="help-title">${t("help.title")}</h2>
      <dl class="keys">${KEYS.map(([keys, what]) => html`
        <div><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${t(`help.${what}`)}</dd></div>`)}
      </dl>
      <button class="button" onClick=${close}>${t("close")}</button>
    </dialog>`;
}

/** The floor seen from above: long beams, short boards between them (우물마루). */
function Mark() {
  return html`
    <svg class="mark" viewBox="0 0 24 24" width="26" height="26" aria-hidden="true">
      <rect x="1" y="1" width="4" height="22" rx="1" /><rect x="19" y="1" width="4" height="22" rx="1" />
      <rect x="6.3" y="1" width="11.4" height="4.6" rx="1" /><rect class="mark-lit" x="6.3" y="6.8" width="11.4" height="4.6" rx="1" />
      <rect x="6.3" y="12.6" width="11.4" height="4.6" rx="1" /><rect x="6.3" y="18.4" width="11.4" height="4.6" rx="1" />
    </svg>`;
}

function ThemeIcon() {
  return html`<svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
    <circle cx="10" cy="10" r="7.2" fill="none" stroke="currentColor" stroke-width="1.6" /><path d="M10 2.8a7.2 7.2 0 0 1 0 14.4z" fill="currentColor" /></svg>`;
}
