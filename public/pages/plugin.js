/** A page that belongs to a plugin: found in /api/pages, loaded from the plugin, mounted like ours. */
import { html, render } from "../lib/html.js";
import { useSignal } from "../lib/hooks.js";
import { t } from "../lib/i18n.js";
import { lang } from "../lib/settings.js";
import { Failure, Note } from "../components/bits.js";

/** @param {HTMLElement} root @param {import("../app.js").PageContext} ctx */
export function mount(root, ctx) {
  const path = ctx.route.value.path;
  let unmount = () => {};
  let mounted = "";
  let gone = false;
  const place = document.createElement("div");

  const say = (title, text) => render(html`<${Note} title=${title}><p class="mono">${text}</p></${Note}>`, root);

  async function find() {
    const page = ctx.pages.value.find((p) => p.path === path);
    if (gone || mounted) return;
    if (!page) {
      render(html`<${Missing} ctx=${ctx} path=${path} />`, root);
      return;
    }
    mounted = page.module;
    ctx.title.value = ctx.pick(page.title);
    render(null, root);
    try {
      const module = await import(new URL(page.module, location.origin).href);
      if (gone) return;
      root.append(place);
      unmount = (await module.mount(place, ctx)) ?? unmount;
    } catch (error) {
      place.remove();
      if (!gone) say(t("page.failed", { path }), String(error?.message ?? error));
    }
  }

  const off = ctx.pages.subscribe(find);
  find();
  return () => {
    gone = true;
    off();
    unmount();
    place.remove();
    render(null, root);
  };
}

/** Until the host has said which pages there are, nothing is missing yet. */
function Missing({ ctx, path }) {
  const { known, error, retry } = useSignal(ctx.listing);
  useSignal(lang);
  if (!known) return error && html`<${Failure} error=${error} retry=${retry} />`;
  return html`<${Note} title=${t("page.missing")}><p class="muted">${t("page.missing_text", { path })}</p><a class="button" href="#/live">${t("nav.live")}</a></${Note}>`;
}
