/** A radiograph's way to the server and back: sent, read, read otherwise, forgotten. */

import { json, Refusal, send } from "./api.js";
import { announce, clearFilm, get, set } from "./state.js";
import { words } from "./words.js";

/**
 * Take what was dropped, pasted or chosen: one file is looked at, more are a folder.
 * @param {(File | FileSystemEntry)[]} given
 */
export async function take(given) {
  const [first] = given;
  if (given.length > 1 || (first && !(first instanceof File) && first.isDirectory)) return (await import("./folder.js")).takeFolder(given);
  if (first) sendFilm(first instanceof File ? first : await fileOf(/** @type {FileSystemFileEntry} */ (first)), {});
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

/** @param {string} remark */
function say(remark) {
  set({ remark });
  announce(remark);
}

/**
 * Send a file and show it when it has been read.
 * @param {Blob} file @param {{profile?: string, frame?: number, force?: boolean}} options
 */
export async function sendFilm(file, options) {
  get().sending?.stop.abort();
  const stop = new AbortController();
  set({ sending: { file, sent: 0, options, stop }, refused: null, remark: "", place: "radiograph" });
  const isLatest = () => get().sending?.stop === stop;
  const onSent = (/** @type {number} */ sent) => isLatest() && set({ sending: { file, sent, options, stop } });
  try {
    const radiograph = await send(file, options, onSent, stop.signal);
    if (isLatest()) show(radiograph);
  } catch (error) {
    if (!isLatest()) return;
    set({ sending: null });
    if (!(error instanceof Refusal)) return;
    announce(error.message);
    set({ refused: { trouble: error, file, options } });
  }
}

/** @param {any} radiograph */
function show(radiograph) {
  clearFilm();
  sessionStorage.setItem("radiograph", radiograph.id);
  set({ radiograph });
}

/** What this tab showed before it was loaded again, as far as the server remembers. */
export async function showAgain() {
  const id = sessionStorage.getItem("radiograph");
  if (!id) return;
  try {
    const radiograph = await json("GET", `radiographs/${id}`);
    if (sessionStorage.getItem("radiograph") !== id) return;
    const conversation = sessionStorage.getItem("conversation") ?? "";
    const turns = radiograph.answers.filter((/** @type {any} */ each) => each.conversation === conversation).map(finished);
    set({ radiograph, conversation: turns.length ? conversation : "", turns });
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) {
      clearFilm();
      say(words.drop.forgotten);
    }
  }
}

/** @param {any} answer @returns {import("./state.js").Turn} */
function finished(answer) {
  return { question: answer.question, kind: "done", text: answer.text, note: "", answer, trouble: null, id: answer.answer };
}

/**
 * Read the same bytes by another profile or another frame, from the next question on.
 * @param {{profile?: string, frame?: number}} options
 */
export async function readOtherwise(options) {
  const { radiograph } = get();
  const read = await json("POST", `radiographs/${radiograph.id}/reading`, { body: options });
  if (get().radiograph?.id === radiograph.id) set({ radiograph: { ...get().radiograph, ...read } });
}

export async function forget() {
  const { radiograph } = get();
  clearFilm();
  if (radiograph) await json("DELETE", `radiographs/${radiograph.id}`).catch(() => null);
}
