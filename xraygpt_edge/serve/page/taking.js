/** An answer as a file, or on the clipboard: the bytes that `report` would write. */

import { request } from "./api.js";
import { words } from "./words.js";

export const FORMATS = /** @type {const} */ (["text", "html", "json", "dicom-sr", "fhir"]);

/** @param {string} answer  Its id. @param {string} format */
const exported = (answer, format) => request("POST", `answers/${answer}/export`, { body: { format } });

/** @param {string} answer @param {string} format @returns {Promise<string>} */
export const save = async (answer, format) => saved(await exported(answer, format));

export const RUN_FORMATS = /** @type {const} */ (["all", "csv", "html", "json", "dicom-sr", "fhir"]);

/** @param {string} run @param {string} format @returns {Promise<string>} */
export const exportRun = async (run, format) => saved(await request("POST", `runs/${run}/export`, { body: { format } }));

/** @param {Response} response @returns {Promise<string>} */
async function saved(response) {
  const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? "answer";
  const address = URL.createObjectURL(new Blob([await response.arrayBuffer()], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  return `${words.answer.saved} ${name}`;
}

/** @param {string} answer @returns {Promise<string>} */
export async function copy(answer) {
  const text = exported(answer, "text").then((response) => response.text());
  try {
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": text.then((found) => new Blob([found], { type: "text/plain" })) })]);
    return words.answer.copied;
  } catch {
    await text;
    return words.answer.notCopied;
  }
}
