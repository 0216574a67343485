/** Words in the language shown: `t("board.more", { n: 3 })`. */
import { lang } from "./settings.js";
import { en } from "./words_en.js";
import { ko } from "./words_ko.js";

/**
 * What says the words of a page, those of a plugin's page too. A key nobody wrote shows itself, so that it is found.
 * @param {{ko: Record<string, string>, en: Record<string, string>}} all
 * @returns {(key: string, values?: Record<string, any>, language?: "ko"|"en") => string}   values: for {name} places
 */
export const words = (all) => (key, values, language = lang.value) => {
  const text = all[language][key] ?? all.en[key] ?? key;
  return values ? fill(text, values) : text;
};

export const t = words({ en, ko });

/**
 * The text of a `{ko, en}` pair from the server, whichever of them exists.
 * @param {{ko?: string, en?: string}|string|null|undefined} pair
 */
export function pick(pair) {
  if (!pair) return "";
  if (typeof pair === "string") return pair;
  return pair[lang.value] ?? pair.en ?? pair.ko ?? "";
}

/** @param {string} platform */
export function platformName(platform) {
  const key = `platform.${platform}`;
  const name = t(key);
  return name === key ? platform.toUpperCase() : name;
}

/**
 * A reason the server gives in English ("CHZZK unreachable: could not resolve host"), in Korean where
 * its parts are known, untouched where they are not: the exact text is what an operator searches for.
 * @param {string|null|undefined} text
 */
export function reason(text) {
  if (!text || lang.value === "en") return text ?? "";
  const match = /^(\S+) unreachable: (.+)$/i.exec(text);
  if (!match) return text;
  const cause = t(`reason.${match[2].toLowerCase()}`);
  return t("reason.unreachable", {
    platform: platformName(match[1].toLowerCase()),
    cause: cause.startsWith("reason.") ? match[2] : cause,
  });
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
