/** What the page knows, in one place; whoever changes it goes through `set`, and the page is drawn anew. */

import { json, Refusal } from "./api.js";
import { shut } from "./session.js";

/**
 * @typedef {{question: string, asked?: object, isDrawing?: boolean, kind: "asked" | "queued" | "coming" | "done" | "failed", text: string, note: string,
 *            answer: any, trouble: Refusal | null, id: string}} Turn
 * @typedef {{file: Blob, sent: number, options: object, stop: AbortController}} Sending
 * @typedef {{door: "opening" | "open" | "none" | "used" | "password" | "ended", place: "radiograph" | "folder" | "about", theme: string,
 *            status: any, reachable: boolean, restarted: boolean, sending: Sending | null, refused: {trouble: Refusal, file: Blob, options: object} | null,
 *            remark: string, radiograph: any, folder: import("./run.js").Folder, turns: Turn[], conversation: string, dialog: any, announced: string}} State
 */

/** @type {import("./run.js").Folder} */
export const noFolder = { stage: "empty", found: [], leftOut: [], run: null, rows: [], isStopped: false, remark: "" };

/** @type {State} */
const start = {
  door: "opening",
  place: "radiograph",
  theme: sessionStorage.getItem("theme") ?? "",
  status: null,
  reachable: true,
  restarted: false,
  sending: null,
  refused: null,
  remark: "",
  radiograph: null,
  folder: noFolder,
  turns: [],
  conversation: "",
  dialog: null,
  announced: "",
};

let state = start;
/** @type {(state: State) => void} */
let draw = () => {};
let isDue = false;

export const get = () => state;

/** @param {Partial<State>} changes */
export function set(changes) {
  state = { ...state, ...changes };
  if (isDue) return;
  isDue = true;
  queueMicrotask(() => {
    isDue = false;
    draw(state);
  });
}

/** @param {(state: State) => void} given  Draws the page. */
export function onChange(given) {
  draw = given;
  draw(state);
}

/** Ends when the radiograph is left: what was asked about it lands nowhere else. */
let looking = new AbortController();

/** @returns {AbortSignal} */
export const filmSignal = () => looking.signal;

/** Everything that belonged to a radiograph, gone; nothing that was asked about it goes on. */
export function clearFilm() {
  looking.abort();
  looking = new AbortController();
  sessionStorage.removeItem("radiograph");
  sessionStorage.removeItem("conversation");
  set({ radiograph: null, turns: [], conversation: "", refused: null, sending: null, remark: "" });
}

/** Ends when the folder is left, or no more of it is to be sent. */
let sending = new AbortController();

/** @returns {AbortSignal} */
export const sendingSignal = () => sending.signal;

export const stopSending = () => sending.abort();

/** Everything that belonged to a folder, gone; nothing more of it is sent. */
export function leaveFolder() {
  stopSending();
  sending = new AbortController();
  sessionStorage.removeItem("run");
  set({ folder: noFolder });
}

/** Whatever somebody had here, gone: who comes next may be somebody else. */
export function clearAll() {
  clearFilm();
  leaveFolder();
}

/** Whether the server is this computer's own; until it is known, the address tells. */
export const isHere = () => state.status?.protections.loopback_only ?? location.protocol === "http:";

/** @param {string} said  For those who listen instead of looking. */
export function announce(said) {
  set({ announced: said });
}

/** @param {string} theme */
export function setTheme(theme) {
  sessionStorage.setItem("theme", theme);
  set({ theme });
}

/** @returns {"dark" | "light"} */
export function shownTheme() {
  if (state.theme === "dark" || state.theme === "light") return state.theme;
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

const SOON_MS = 700;
const LATER_MS = 5000;

/** Ask for the state of the server, now and again and again. */
export async function watchStatus() {
  while (state.door === "open") {
    await readStatus();
    const isReady = state.reachable && state.status?.model.state === "ready";
    await new Promise((resolve) => setTimeout(resolve, isReady ? LATER_MS : SOON_MS));
  }
}

export async function readStatus() {
  try {
    const status = await json("GET", "status");
    const before = state.status?.model.restarts ?? 0;
    set({ status, reachable: true, restarted: state.restarted || status.model.restarts > before });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 401) {
      clearAll();
      set({ door: shut(error) });
    } else set({ reachable: error.status !== 0 });
  }
}

/** @param {string} id  Of the catalogue. */
export async function explain(id) {
  set({ dialog: { kind: "explain", entry: await json("GET", `explain/${encodeURIComponent(id)}`) } });
}
