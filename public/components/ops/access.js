/** Why operations are not shown, and how to get to them. */
import { html, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";

/** On the public listener there is no admin API at all. */
export function Closed() {
  return html`
    <section class="access" data-no-access>
      <h2>${t("ops.closed")}</h2>
      <p>${t("ops.closed_text")}</p>
      <${Command} text="maru admin-url" />
      <p class="muted">${t("ops.closed_config")}</p>
    </section>`;
}

/** On the admin listener a token opens it; the form is a plain GET, so it works by itself. */
export function Login() {
  return html`
    <section class="access" data-login>
      <h2>${t("ops.login")}</h2>
      <p>${t("ops.login_text")}</p>
      <${Command} text="maru admin-url" />
      <form class="login" action="/admin/login" method="get">
        <label>${t("ops.token")} <input class="field mono" type="password" name="token" required autocomplete="current-password" /></label>
        <button class="button">${t("ops.enter")}</button>
      </form>
    </section>`;
}

function Command({ text }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => setCopied(true), () => {});
  return html`<p class="command"><code>${text}</code>
    <button class="button button-small" onClick=${copy} aria-live="polite">${t(copied ? "ops.copied" : "ops.copy")}</button></p>`;
}
