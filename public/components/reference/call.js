/** Sends a request of the reference page and follows its answer, also one that does not end. */
import { signal } from "../../lib/signal.js";

const SHOWN_BYTES = 200000;
const KEY = "maru.reference.token";

/** The token of routes that need a caller; forgotten when the window closes. */
export const token = signal(remembered());
token.subscribe((value) => {
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    /* storage switched off */
  }
});

function remembered() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/**
 * @typedef {Object} Answer
 * @property {number} status       0 when nothing answered
 * @property {string} title
 * @property {number} ms           until the head came
 * @property {number} bytes
 * @property {[string, string][]} headers
 * @property {string} text
 * @property {any} json            the body when it is JSON, else undefined
 * @property {boolean} open        more is coming
 * @property {boolean} cut         only the beginning is kept
 */

/**
 * `show` gets the answer, again and again while it grows.
 * @param {string} method
 * @param {{path: string, headers: Record<string, string>, body?: string}} request
 * @param {(answer: Answer) => void} show
 * @param {AbortSignal} stop
 */
export async function call(method, request, show, stop) {
  const began = performance.now();
  const answer = { status: 0, title: "", ms: 0, bytes: 0, headers: [], text: "", json: undefined, open: false, cut: false };
  try {
    const response = await fetch(request.path, { method, headers: request.headers, body: request.body, signal: stop, cache: "no-store", credentials: "same-origin" });
    Object.assign(answer, { status: response.status, title: response.statusText, ms: performance.now() - began, headers: [...response.headers], open: true });
    const isJson = /[/+]json\b/.test(response.headers.get("content-type") ?? "");
    await read(response, answer, isJson ? () => {} : show);
    if (isJson && !answer.cut) answer.json = parsed(answer.text);
  } catch (error) {
    if (!answer.status && stop.aborted) return;
    if (!stop.aborted) answer.text ||= String(error.message ?? error);
  }
  show({ ...answer, ms: answer.ms || performance.now() - began, open: false });
}

async function read(response, answer, show) {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    answer.bytes += value.length;
    if (answer.text.length < SHOWN_BYTES) answer.text += decoder.decode(value, { stream: true });
    else answer.cut = true;
    show({ ...answer });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
