/** A folder on its way to the server: two files ahead, each sent only if its hash is not known there. */

import { json, put, Refusal } from "./api.js";
import { sendFilm } from "./film.js";
import { listed } from "./listing.js";
import { announce, get, leaveFolder, sendingSignal, set, stopSending } from "./state.js";
import { words } from "./words.js";

/**
 * @typedef {{n: number, path: string, state: string, sha256: string, known: boolean, seconds: number,
 *            answers: {question: string, text: string}[], warnings: string[], error: {code: string, message: string} | null}} Row
 * @typedef {{stage: "empty" | "looking" | "listed" | "running", found: import("./listing.js").Found[], leftOut: import("./listing.js").LeftOut[],
 *            run: any, rows: Row[], isStopped: boolean, remark: string}} Folder
 */

const SOON_MS = 700;
const LATER_MS = 4000;
const RUN = "run";
const ENDED = new Set(["ok", "failed", "left out"]);

let room = 0;

/** @param {Partial<Folder>} changes */
const change = (changes) => set({ folder: { ...get().folder, ...changes } });

/** @param {(FileSystemEntry | File)[]} given  A folder, or several files. */
export async function list(given) {
  leaveFolder();
  set({ place: "folder" });
  change({ stage: "looking" });
  const { found, leftOut } = await listed(given, get().status.folder);
  change({ stage: found.length ? "listed" : "empty", found, leftOut, remark: found.length ? "" : words.folder.nothing(leftOut.length) });
  announce(words.folder.found(found.length, leftOut.length));
}

/** @param {string[]} questions @param {string} profile */
export async function start(questions, profile) {
  const { found, leftOut } = get().folder;
  const counts = Object.fromEntries([...Map.groupBy(leftOut, (each) => each.reason)].map(([reason, some]) => [reason, some.length]));
  const body = { questions, profile, files: found.length, left_out: counts };
  try {
    const run = await json("POST", "runs", { body });
    sessionStorage.setItem(RUN, run.id);
    room = run.room;
    change({ stage: "running", run, rows: found.map((each, index) => unsent(index + 1, each.path)), remark: "" });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    change({ remark: error.message || words.model.lost });
    return;
  }
  follow();
  sendAll(sendingSignal());
}

/** @param {number} n @param {string} path @returns {Row} */
const unsent = (n, path) => ({ n, path, state: "unsent", sha256: "", known: false, seconds: 0, answers: [], warnings: [], error: null });

/** @param {"pause" | "resume"} what */
export async function steer(what) {
  const { run } = get().folder;
  change({ run: { ...run, ...(await json("POST", `runs/${run.id}/${what}`)), rows: [] } });
  announce(get().folder.run.state === "going" ? words.folder.resumed : words.folder.paused);
}

/** End here: what is being answered is answered, and nothing more is sent. */
export async function stop() {
  stopSending();
  change({ isStopped: true });
  await steer("pause");
}

/** @param {string} id  Of a run that the server has. */
export async function showRun(id) {
  leaveFolder();
  sessionStorage.setItem(RUN, id);
  set({ place: "folder" });
  change({ stage: "looking" });
  try {
    const run = await json("GET", `runs/${id}`);
    const rows = Array.from({ length: run.files }, (_, index) => unsent(index + 1, words.folder.unnamed(index + 1)));
    change({ stage: "running", run: { ...run, after: 0 }, rows, isStopped: run.state !== "ended", remark: run.state === "ended" ? "" : words.folder.again });
    follow();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    leaveFolder();
  }
}

/** What this tab showed before it was loaded again. */
export async function showRunAgain() {
  const id = sessionStorage.getItem(RUN);
  const { place } = get();
  if (!id) return;
  await showRun(id);
  set({ place: get().radiograph ? place : "folder" });
}

/** @param {string} id */
export async function forgetRun(id) {
  if (get().folder.run?.id === id) leaveFolder();
  await json("DELETE", `runs/${id}`).catch(() => null);
}

/** Open a row's radiograph, with what was said about it. @param {Row} row */
export async function openRow(row) {
  const { run, found } = get().folder;
  const file = found[row.n - 1]?.file;
  if (!file) return change({ remark: words.folder.notHere });
  await sendFilm(file, { profile: run.profile });
  const { radiograph, place } = get();
  if (place !== "radiograph" || radiograph?.input.sha256 !== row.sha256 || !row.answers.length) return;
  const { answers } = await json("POST", `runs/${run.id}/files/${row.n}/open`, { body: { radiograph: radiograph.id } });
  if (get().radiograph?.id !== radiograph.id) return;
  sessionStorage.setItem("conversation", answers[0].conversation);
  const turns = answers.map((/** @type {any} */ each) => (
    { question: each.question, kind: "done", text: each.text, note: "", answer: each, trouble: null, id: each.answer }));
  set({ turns, conversation: answers[0].conversation });
}

/** Ask again and again what has become of the run, until it has ended. */
async function follow() {
  const signal = sendingSignal();
  const { id } = get().folder.run;
  while (get().folder.run?.id === id) {
    const isOver = await refresh(id);
    if (isOver) return;
    const isSlow = signal.aborted || get().folder.run?.state !== "going";
    await pause(isSlow ? LATER_MS : SOON_MS);
  }
}

/** @param {string} id @returns {Promise<boolean>}  Whether nothing more will change. */
async function refresh(id) {
  try {
    const { folder } = get();
    const told = await json("GET", `runs/${id}?after=${folder.run.after}`);
    if (get().folder.run?.id !== id) return true;
    merge(told);
    if (told.more) return refresh(id);
    return told.state === "ended" || (await isComplete(id)) ? finish() : false;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 404) change({ run: { ...get().folder.run, state: "gone" }, remark: words.folder.gone });
    return error.status === 404;
  }
}

/** Whether nothing is left but files that never reached the server, which waits for them; it is told. @param {string} id */
async function isComplete(id) {
  const { rows } = get().folder;
  if (!rows.every(({ state }) => ENDED.has(state))) return false;
  await json("POST", `runs/${id}/pause`);
  return true;
}

/** @returns {true} */
function finish() {
  const { run, rows } = get().folder;
  change({ run: { ...run, state: "ended" } });
  const count = (/** @type {string} */ state) => rows.filter((row) => row.state === state).length;
  announce(words.folder.ended(count("ok"), count("failed")));
  return true;
}

/** @param {any} told */
function merge({ rows: changed, ...run }) {
  const rows = [...get().folder.rows];
  for (const row of changed) rows[row.n - 1] = { ...rows[row.n - 1], ...row, path: rows[row.n - 1]?.path ?? row.name, ...(row.name && { path: row.name }) };
  room = run.room;
  change({ run: { ...get().folder.run, ...run, rows: [] }, rows });
}

/** @param {AbortSignal} signal */
async function sendAll(signal) {
  const { found, run } = get().folder;
  for (const [index, { file, path }] of found.entries()) {
    await sendOne(run.id, index + 1, file, path, signal);
    if (signal.aborted) return;
  }
}

/** @param {string} id @param {number} n @param {File} file @param {string} path @param {AbortSignal} signal */
async function sendOne(id, n, file, path, signal) {
  const given = await bytes(file);
  if (typeof given === "string") return fail(n, given);
  const headers = { "X-SHA256": await hashed(given), ...(get().status.folder.keeps && { "X-Name": inBase64(path) }) };
  for (let body = /** @type {ArrayBuffer | undefined} */ (undefined); !signal.aborted; ) {
    try {
      if (body) await roomy(signal);
      if (signal.aborted) return;
      const told = await put(`runs/${id}/files/${n}`, body, headers, signal);
      room = told.room;
      if (told.state !== "wanted") return merge({ rows: [told], room });
      body = given;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 404) return stopSending();
      if (![0, 409, 503].includes(error.status)) return fail(n, error.message, error.id);
      await pause(error.status === 409 ? SOON_MS : LATER_MS);
    }
  }
}

/** Wait until the server has room for another file, and the run goes on. @param {AbortSignal} signal */
async function roomy(signal) {
  while (!signal.aborted && (room < 1 || get().folder.run?.state !== "going")) await pause(SOON_MS / 2);
}

/** @param {File} file @returns {Promise<ArrayBuffer | string>}  Its bytes, or why not. */
async function bytes(file) {
  if (file.size > get().status.limits.upload_bytes) return words.folder.tooLarge;
  try {
    return await file.arrayBuffer();
  } catch {
    return words.folder.unreadable;
  }
}

/** @param {number} n @param {string} message @param {string} [code]  One that the server never got. */
function fail(n, message, code = "") {
  const rows = [...get().folder.rows];
  rows[n - 1] = { ...rows[n - 1], state: "failed", error: { code, message } };
  change({ rows });
}

/** @param {ArrayBuffer} given */
async function hashed(given) {
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", given))].map((each) => each.toString(16).padStart(2, "0")).join("");
}

/** @param {string} path */
const inBase64 = (path) => btoa(String.fromCharCode(...new TextEncoder().encode(path)));

/** @param {number} time_ms */
const pause = (time_ms) => new Promise((resolve) => setTimeout(resolve, time_ms));
