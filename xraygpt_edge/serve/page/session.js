/** Who this browser is to the server: a token in the memory of its tabs, and nowhere else. */

import { currentToken, json, Refusal, useToken } from "./api.js";

const TOKEN = "token";
const OTHER_TAB_MS = 300;
const tabs = new BroadcastChannel("xraygpt-edge");

/**
 * Open the session: by the link, by what this tab remembers, or by another tab of this browser.
 * @returns {Promise<"open" | "none" | "used" | "password">}
 */
export async function open() {
  const given = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  tabs.onmessage = answer;
  const code = given.get("c");
  if (code) return exchange(code);
  const token = given.get("t") ?? sessionStorage.getItem(TOKEN) ?? (await ofAnotherTab());
  return token ? accept(token) : withoutToken();
}

/** Sign in to a ward; throws what the server refuses. @param {string} password */
export async function signIn(password) {
  return accept((await json("POST", "session", { body: { password } })).token);
}

/** Forget the session here; the server is told by whoever calls. */
export function close() {
  sessionStorage.clear();
  useToken("");
}

/** @param {string} code  Works once. */
async function exchange(code) {
  try {
    return accept((await json("POST", "session", { body: { code } })).token);
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) return "used";
    throw error;
  }
}

/** What lets somebody in who has nothing to show: a ward's server asks for a password. */
async function withoutToken() {
  try {
    await json("GET", "status");
  } catch (error) {
    if (error instanceof Refusal) return shut(error);
    throw error;
  }
  return "none";
}

/** @param {Refusal} refusal  Of a request without a session. @returns {"none" | "password"} */
export const shut = (refusal) => (refusal.param === "password" ? "password" : "none");

/** @param {string} token @returns {"open"} */
function accept(token) {
  useToken(token);
  sessionStorage.setItem(TOKEN, token);
  return "open";
}

/** @param {MessageEvent} message  Another tab asks for the token. */
function answer(message) {
  const token = currentToken();
  if (message.data?.wanted && token) tabs.postMessage({ token });
}

/** @returns {Promise<string | null>} */
function ofAnotherTab() {
  return new Promise((resolve) => {
    const wait = setTimeout(() => done(null), OTHER_TAB_MS);
    /** @param {string | null} token */
    const done = (token) => {
      clearTimeout(wait);
      tabs.onmessage = answer;
      resolve(token);
    };
    tabs.onmessage = (message) => {
      if (message.data?.token) done(message.data.token);
    };
    tabs.postMessage({ wanted: true });
  });
}
