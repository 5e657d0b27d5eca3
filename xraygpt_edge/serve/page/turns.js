/** Questions and their answers, word by word. */

import { events, json, refusal, Refusal } from "./api.js";
import { announce, filmSignal, get, readStatus, set } from "./state.js";
import { words } from "./words.js";

const MOST_TABS = 6;
const UNDER_WAY = new Set(["asked", "queued", "coming"]);
let asking = new AbortController();

/** Whether the latest answer is not complete yet. */
export const isUnderWay = () => UNDER_WAY.has(last()?.kind);

/**
 * Ask about the radiograph that is shown; what comes after it has been left is not shown.
 * @param {string} question  As it is shown. @param {object} [asked]  As it is sent.
 */
export async function ask(question, asked = { question }) {
  if (isUnderWay() || get().sending) return;
  asking = new AbortController();
  const left = filmSignal();
  const signal = AbortSignal.any([asking.signal, left]);
  const turns = get().turns;
  set({ turns: [...turns, { question, asked, kind: "asked", text: "", note: words.ask.sent, answer: null, trouble: null, id: "" }] });
  try {
    await inATab(() => untilTaken(asked, signal));
  } catch (error) {
    if (!left.aborted) fail(error);
  } finally {
    readStatus();
  }
}

/** Keep what was said, and end. One that waits is given up. */
export function stop() {
  const { id, kind } = last();
  const own = asking;
  if (kind === "coming" && id) json("DELETE", `answers/${id}`).catch(() => own.abort());
  else own.abort();
}

/** Begin anew about the same radiograph. */
export function fresh() {
  sessionStorage.removeItem("conversation");
  set({ turns: [], conversation: "" });
}

/** @param {import("./state.js").Turn} turn  One without an answer. */
export function askAgain(turn) {
  set({ turns: get().turns.filter((each) => each !== turn) });
  return ask(turn.question, turn.asked);
}

/**
 * Have maps drawn of what an answer states: the answer stays, and gets them.
 * @param {import("./state.js").Turn} turn
 */
export async function draw({ id, isDrawing }) {
  if (isDrawing) return;
  const left = filmSignal();
  const change = (/** @type {Partial<import("./state.js").Turn>} */ changes) =>
    set({ turns: get().turns.map((turn) => (turn.id === id ? { ...turn, ...changes } : turn)) });
  change({ isDrawing: true, note: words.trust.drawing });
  try {
    await inATab(async () => {
      for await (const { event, data } of events(`answers/${id}/maps`, {}, left)) {
        left.throwIfAborted();
        if (event === "queued") change({ note: words.ask.waiting(data.position, data.wait_s) });
        if (event === "started") change({ note: words.trust.drawing });
        if (event === "failed") throw refusal(data, 0);
        if (event === "done") return change({ isDrawing: false, note: "", answer: data });
      }
      throw new Refusal({ status: 0 });
    });
    announce(words.trust.drawn);
  } catch (error) {
    if (left.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    change({ isDrawing: false, note: error.message || words.ask.lost });
  }
}

/**
 * Run with one of the few connections that a browser has for a server; without one, say so.
 * @param {() => Promise<void>} work
 */
async function inATab(work) {
  for (let place = 1; place < MOST_TABS; place++) {
    const done = await navigator.locks.request(`stream-${place}`, { ifAvailable: true }, async (lock) => {
      if (lock) await work();
      return lock !== null;
    });
    if (done) return;
  }
  throw new Refusal({ status: 503, message: words.ask.tooMany });
}

/** @param {object} asked @param {AbortSignal} signal */
async function untilTaken(asked, signal) {
  for (;;) {
    try {
      return await follow(asked, signal);
    } catch (error) {
      if (!(error instanceof Refusal) || !error.after_s || error.status !== 503) throw error;
      await pause(error, signal);
    }
  }
}

/** @param {Refusal} error @param {AbortSignal} signal */
async function pause(error, signal) {
  const isLoading = error.id === "E-SRV-014";
  for (let left_s = isLoading ? 1 : error.after_s; left_s > 0; left_s--) {
    change({ note: isLoading ? words.ask.loading : words.ask.again(left_s) });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    signal.throwIfAborted();
  }
}

/** @param {object} asked @param {AbortSignal} signal */
async function follow(asked, signal) {
  const { radiograph, conversation } = get();
  const body = conversation ? { ...asked, conversation } : asked;
  const sentences = new Sentences();
  for await (const { event, data } of events(`radiographs/${radiograph.id}/answers`, body, signal)) {
    signal.throwIfAborted();
    if (event === "queued") change({ kind: "queued", id: data.answer, note: words.ask.waiting(data.position, data.wait_s) });
    if (event === "started") change({ kind: "coming", id: data.answer, note: words.ask.thinking });
    if (event === "text") {
      change({ kind: "coming", text: last().text + data.text, note: "" });
      sentences.hear(data.text);
    }
    if (event === "failed") throw refusal(data, 0);
    if (event === "done") return finish(data, sentences);
  }
  throw new Refusal({ status: 0 });
}

/** @param {any} answer @param {Sentences} sentences */
function finish(answer, sentences) {
  sessionStorage.setItem("conversation", answer.conversation);
  change({ kind: "done", question: answer.question, text: answer.text, answer, note: "" });
  set({ conversation: answer.conversation });
  sentences.end();
}

/** @param {any} error */
function fail(error) {
  if (error?.name === "AbortError") {
    set({ turns: get().turns.slice(0, -1) });
    return;
  }
  if (!(error instanceof Refusal)) throw error;
  const message = error.message || words.ask.lost;
  change({ kind: "failed", trouble: error, note: message });
  announce(message);
}

const last = () => get().turns[get().turns.length - 1];

/** @param {Partial<import("./state.js").Turn>} changes */
function change(changes) {
  const { turns } = get();
  set({ turns: [...turns.slice(0, -1), { ...last(), ...changes }] });
}

/** Says whole sentences to those who listen, not tokens. */
class Sentences {
  #text = "";

  /** @param {string} text */
  hear(text) {
    this.#text += text;
    const end = Math.max(...[". ", ".\n", "? ", "! "].map((mark) => this.#text.lastIndexOf(mark)));
    if (end >= 0) this.#say(end + 1);
  }

  end() {
    this.#say(this.#text.length);
  }

  /** @param {number} end */
  #say(end) {
    const said = this.#text.slice(0, end).trim();
    this.#text = this.#text.slice(end);
    if (said) announce(said);
  }
}
