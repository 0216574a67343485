/** Requests to the host: JSON in and out, problem+json as one error type, a deadline on everything. */

const TIMEOUT_MS = 15000;

/** A request that did not succeed; `status` is 0 when no answer came at all. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message   the server's `detail`, or what went wrong on the way
   * @param {any} [body]       the answer's JSON, when it had one
   */
  constructor(status, message, body = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.body = body;
  }

  /** True when nothing answered: the server is gone, not unwilling. */
  get unreachable() {
    return this.status === 0;
  }
}

/**
 * @param {string} path     absolute path on this origin
 * @param {Object} [options]
 * @param {string} [options.method]
 * @param {Record<string, any>} [options.query]   null, undefined and "" are left out
 * @param {any} [options.body]                    sent as JSON
 * @param {AbortSignal} [options.signal]
 * @param {number} [options.timeout]              milliseconds
 * @returns {Promise<any>}
 */
export async function request(path, options = {}) {
  const { method = "GET", query, body, signal, timeout = TIMEOUT_MS } = options;
  const controller = new AbortController();
  const abort = () => controller.abort(signal?.reason);
  const timer = setTimeout(() => controller.abort(new Error("timeout")), timeout);
  signal?.addEventListener("abort", abort);
  try {
    const response = await fetch(path + search(query), {
      method,
      headers: body === undefined ? { accept: "application/json" }
        : { accept: "application/json", "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: controller.signal,
      credentials: "same-origin",
      cache: "no-store",
    });
    return await answer(response);
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    throw new ApiError(0, controller.signal.aborted ? "no answer in time" : "no connection");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
export function get(path, query, signal) {
  return request(path, { query, signal });
}

/** @param {string} path @param {any} [body] */
export function post(path, body) {
  return request(path, { method: "POST", body, timeout: 60000 });
}

/** @param {Record<string, any>|null} [query] @returns {string} "?a=1" or "" */
export function search(query) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined && value !== "") params.set(key, String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

async function answer(response) {
  const type = response.headers.get("content-type") ?? "";
  const isJson = /[/+]json\b/.test(type);
  const text = await response.text();
  let body = null;
  if (isJson && text) {
    try {
      body = JSON.parse(text);
    } catch {
      throw new ApiError(response.status, "the answer is not JSON");
    }
  }
  if (!response.ok) {
    throw new ApiError(response.status, body?.detail ?? body?.title ?? `HTTP ${response.status}`, body);
  }
  if (!isJson) throw new ApiError(response.status, "the answer is not JSON");
  return body;
}
