/** What the visitor chose and the browser remembers: language and theme. */
import { signal } from "./signal.js";

const THEMES = ["light", "dark"];
const LANGUAGES = ["ko", "en"];

export const lang = signal(pick("maru.lang", LANGUAGES) ?? browserLanguage(navigatorLanguages()));
export const theme = signal(pick("maru.theme", THEMES) ?? "auto");

/**
 * Korean when the browser asks for Korean before English, English otherwise.
 * @param {readonly string[]} wanted
 * @returns {"ko"|"en"}
 */
export function browserLanguage(wanted) {
  const first = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => LANGUAGES.includes(tag));
  return first === "ko" ? "ko" : "en";
}

/** The other language, remembered. */
export function toggleLanguage() {
  lang.value = lang.value === "ko" ? "en" : "ko";
  keep("maru.lang", lang.value);
}

/** Light or dark, whichever is not showing now, remembered. */
export function toggleTheme() {
  theme.value = showsDark() ? "light" : "dark";
  keep("maru.theme", theme.value);
}

/** @returns {boolean} whether the page is dark, by choice or by the system's preference */
export function showsDark() {
  if (theme.value !== "auto") return theme.value === "dark";
  return typeof matchMedia === "function" && matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Storage can be switched off; then a choice lasts until the page is left. */
function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    /* not remembered */
  }
}

function pick(key, allowed) {
  try {
    const value = localStorage.getItem(key);
    return allowed.includes(value) ? value : null;
  } catch {
    return null;
  }
}

function navigatorLanguages() {
  return typeof navigator === "undefined" ? [] : navigator.languages ?? [];
}
