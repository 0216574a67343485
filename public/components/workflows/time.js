/** How long a step took, or runs, or waits. */
import { duration } from "../../lib/format.js";
import { lang } from "../../lib/settings.js";
import { wait } from "../jobs/rates.js";

/** @param {any} step @param {number} now @returns {string} */
export function took(step, now) {
  const at = (text) => (text ? Date.parse(text) : null);
  const begun = at(step.started_at);
  if (step.state === "waiting") return duration((now - at(step.ended_at)) / 1000, lang.value);
  if (begun === null) return "";
  const over = at(step.ended_at);
  return over === null ? duration((now - begun) / 1000, lang.value) : wait(over - begun);
}
