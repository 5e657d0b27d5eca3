/** Requests to the page's own server. Each carries the token in a header; nothing is sent by itself. */

/** @typedef {{id: string, message: string, param: string, canForce: boolean, details: any, status: number, after_s: number}} Trouble */

/** What the server refused, or that it could not be reached (status 0). */
export class Refusal extends Error {
  /** @param {Partial<Trouble>} trouble */
  constructor(trouble) {
    super(trouble.message ?? "");
    this.id = trouble.id ?? "";
    this.param = trouble.param ?? "";
    this.status = trouble.status ?? 0;
    this.canForce = trouble.canForce ?? false;
    this.details = trouble.details ?? {};
    this.after_s = trouble.after_s ?? 0;
  }
}

let token = "";

/** @param {string} given  What every later request shows. */
export function useToken(given) {
  token = given;
}

/** The token, for another tab of this browser. */
export function currentToken() {
  return token;
}

/**
 * A request, and its response if that is no refusal.
 * @param {string} method
 * @param {string} path  Behind /api/v1/.
 * @param {{body?: any, signal?: AbortSignal}} [more]
 */
export function request(method, path, { body, signal } = {}) {
  return fetched(method, path, body === undefined ? undefined : JSON.stringify(body), {}, signal);
}

/**
 * Send bytes as they are, or nothing yet.
 * @param {string} path
 * @param {ArrayBuffer | undefined} body
 * @param {Record<string, string>} headers
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export async function put(path, body, headers, signal) {
  return (await fetched("PUT", path, body, headers, signal)).json();
}

/**
 * @param {string} method
 * @param {string} path
 * @param {BodyInit | undefined} body
 * @param {Record<string, string>} headers
 * @param {AbortSignal | undefined} signal
 */
async function fetched(method, path, body, headers, signal) {
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers,
      body,
      signal,
      cache: "no-store",
      credentials: "omit",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal({ status: 0 });
  }
  if (response.ok) return response;
  throw refusalOf(response.status, await response.text(), response.headers.get("retry-after"));
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{body?: any, signal?: AbortSignal}} [more]
 */
export async function json(method, path, more) {
  const response = await request(method, path, more);
  return response.status === 200 || response.status === 201 ? response.json() : null;
}

/**
 * Server-sent events of an answer to a POST, as they come.
 * @param {string} path
 * @param {any} body
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{event: string, data: any}>}
 */
export async function* events(path, body, signal) {
  const response = await request("POST", path, { body, signal });
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await next(reader, signal);
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const frames = text.split("\n\n");
    text = frames.pop() ?? "";
    for (const frame of frames) yield parsed(frame);
  }
}

/**
 * Send a file as it is; progress is told in bytes, which fetch cannot.
 * @param {Blob} file
 * @param {{profile?: string, frame?: number, force?: boolean}} options
 * @param {(sent: number) => void} onSent
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export function send(file, options, onSent, signal) {
  const query = new URLSearchParams(Object.entries(options).map(([name, value]) => [name, String(value)]));
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", `/api/v1/radiographs?${query}`);
    sending.setRequestHeader("Authorization", `Bearer ${token}`);
    sending.upload.onprogress = (event) => onSent(event.loaded);
    sending.onload = () => {
      if (sending.status === 201) resolve(JSON.parse(sending.responseText));
      else reject(refusalOf(sending.status, sending.responseText, sending.getResponseHeader("retry-after")));
    };
    sending.onerror = () => reject(new Refusal({ status: 0 }));
    sending.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => sending.abort());
    sending.send(file);
  });
}

/** @param {ReadableStreamDefaultReader<Uint8Array>} reader @param {AbortSignal} signal */
async function next(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refusal({ status: 0 });
  }
}

/** @param {string} frame */
function parsed(frame) {
  const found = { event: "", data: null };
  for (const line of frame.split("\n")) {
    if (line.startsWith("event: ")) found.event = line.slice(7);
    if (line.startsWith("data: ")) found.data = JSON.parse(line.slice(6));
  }
  return found;
}

/** @param {number} status @param {string} text @param {string | null} after */
function refusalOf(status, text, after) {
  try {
    return refusal(JSON.parse(text), status, Number(after) || 0);
  } catch {
    return new Refusal({ status, message: `HTTP ${status}` });
  }
}

/**
 * A refusal as the server writes it, in a body or in a stream.
 * @param {any} body @param {number} status @param {number} [after_s]
 */
export function refusal(body, status, after_s = 0) {
  const { code, message, param, xraygpt } = body.error;
  return new Refusal({ id: code, message, param, status, after_s, canForce: xraygpt?.can_force ?? false, details: xraygpt ?? {} });
}
