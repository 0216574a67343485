/** Numbers, times and sizes as people read them, in the language shown. */

const LOCALE = { ko: "ko-KR", en: "en-GB" };
const DASH = "–";

const cache = new Map();

function cached(key, make) {
  if (!cache.has(key)) cache.set(key, make());
  return cache.get(key);
}

function numberFormat(lang, options = {}) {
  return cached(`n${lang}${JSON.stringify(options)}`, () => new Intl.NumberFormat(LOCALE[lang], options));
}

function dateFormat(lang, options) {
  return cached(`d${lang}${JSON.stringify(options)}`, () => new Intl.DateTimeFormat(LOCALE[lang], options));
}

const known = (n) => typeof n === "number" && Number.isFinite(n);

/** 12345 → "12,345"; unknown → "–". @param {number|null|undefined} n @param {string} lang */
export function count(n, lang) {
  return known(n) ? numberFormat(lang, { maximumFractionDigits: 0 }).format(n) : DASH;
}

/** 12345 → "12.3K" or "1.2만"; an axis wants 2 digits, for its steps are quarters. @param {number} n @param {string} lang @param {number} [digits] */
export function compact(n, lang, digits = 1) {
  return known(n)
    ? numberFormat(lang, { notation: "compact", maximumFractionDigits: digits }).format(n)
    : DASH;
}

/** 3 → "+3", -3 → "−3" (a true minus, as wide as the plus), 0 → "0". */
export function signed(n, lang) {
  if (!known(n)) return DASH;
  if (n === 0) return "0";
  return (n > 0 ? "+" : "−") + count(Math.abs(n), lang);
}

/** 3.219 → "3.2". @param {number|null|undefined} n @param {string} lang @param {number} [digits] */
export function decimal(n, lang, digits = 1) {
  return known(n)
    ? numberFormat(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(n)
    : DASH;
}

/** 0.42 → "42%". @param {number|null|undefined} n @param {string} lang */
export function percent(n, lang) {
  return known(n) ? numberFormat(lang, { style: "percent", maximumFractionDigits: 0 }).format(n) : DASH;
}

/** 1536 → "1.5 KiB". @param {number|null|undefined} n @param {string} lang */
export function bytes(n, lang) {
  if (!known(n)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = n;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${decimal(value, lang, unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/**
 * ISO text, epoch seconds or null to epoch milliseconds, NaN when there is none.
 * @param {string|number|null|undefined} at
 */
export function millis(at) {
  if (typeof at === "number") return at * 1000;
  return at ? Date.parse(at) : NaN;
}

/** "14:05:09". @param {string|number|null|undefined} at @param {string} lang */
export function clock(at, lang) {
  const ms = millis(at);
  if (Number.isNaN(ms)) return DASH;
  return dateFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(ms);
}

/**
 * "21 Nov, 14:05" or "11. 21. 14:05".
 * @param {string|number|null|undefined} at
 * @param {string} lang
 * @param {string} [timeZone]   IANA; default the browser's
 */
export function moment(at, lang, timeZone) {
  const ms = millis(at);
  if (Number.isNaN(ms)) return DASH;
  const month = lang === "ko" ? "numeric" : "short";
  return dateFormat(lang, { month, day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone }).format(ms);
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/**
 * "3 min ago" or "in 3 min". A clock a little ahead of ours is "now", not the future.
 * @param {string|number|null|undefined} at
 * @param {number} now      epoch milliseconds
 * @param {string} lang
 */
export function ago(at, now, lang) {
  const ms = millis(at);
  if (Number.isNaN(ms)) return DASH;
  const seconds = Math.round((ms - now) / 1000);
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS[3];
  const rtf = cached(`r${lang}`, () => new Intl.RelativeTimeFormat(LOCALE[lang], { style: "short", numeric: "auto" }));
  return rtf.format(Math.trunc(seconds / size), unit);
}

const SPAN = { ko: ["일", "시간", "분", "초"], en: ["d", "h", "m", "s"] };

/**
 * A length of time in its two largest units: 3723 → "1h 2m", "1시간 2분".
 * @param {number|null|undefined} seconds @param {string} lang
 */
export function duration(seconds, lang) {
  if (!known(seconds)) return DASH;
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  UNITS.forEach(([, size], i) => {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n > 0 && parts.length < 2) parts.push(`${n}${SPAN[lang][i]}`);
  });
  return parts.join(" ") || `0${SPAN[lang][3]}`;
}

/**
 * How long since `at`, e.g. the age of a broadcast.
 * @param {string|number|null|undefined} at @param {number} now @param {string} lang
 */
export function since(at, now, lang) {
  const ms = millis(at);
  return Number.isNaN(ms) ? DASH : duration((now - ms) / 1000, lang);
}

/** Three digits that mean something: a request costs thousandths. @param {number} value @param {string} currency ISO 4217, or any word */
export function money(value, currency, language) {
  try {
    return new Intl.NumberFormat(language, { style: "currency", currency, maximumSignificantDigits: 3 }).format(value);
  } catch {
    return `${new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(value)} ${currency}`;
  }
}
