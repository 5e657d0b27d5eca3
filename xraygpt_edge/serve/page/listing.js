/** What of a folder is a radiograph: names are judged here, first bytes by the server, by the rules of `batch`. */

import { json } from "./api.js";

/**
 * @typedef {{path: string, file: File}} Found
 * @typedef {{path: string, reason: string}} LeftOut
 * @typedef {{found: Found[], leftOut: LeftOut[]}} Listing
 * @typedef {{question: string, endings: string[], head_bytes: number, keeps: boolean, parallel: number | "auto"}} Rules
 */

const HEADS_AT_ONCE = 500;

/**
 * Every file of what was given, in a stable order, and which of them are left out.
 * @param {(FileSystemEntry | File)[]} given @param {Rules} rules @returns {Promise<Listing>}
 */
export async function listed(given, rules) {
  /** @type {Found[]} */
  const all = [];
  for (const each of given) await gather(each, all);
  all.sort((one, other) => (one.path < other.path ? -1 : one.path > other.path ? 1 : 0));
  const leftOut = new Map();
  const unsure = /** @type {Found[]} */ ([]);
  const sure = new Set();
  for (const each of all) {
    const [path, reason] = judged(each.path);
    if (reason) leftOut.set(path, reason);
    else if (rules.endings.some((ending) => path.toLowerCase().endsWith(ending))) sure.add(each);
    else unsure.push(each);
  }
  const reasons = await looked(unsure, rules);
  unsure.forEach((each, index) => reasons[index] ? leftOut.set(each.path, reasons[index]) : sure.add(each));
  return { found: all.filter((each) => sure.has(each)), leftOut: [...leftOut].map(([path, reason]) => ({ path, reason })) };
}

/**
 * A name that says enough: of what is hidden, the topmost hidden folder counts, once.
 * @param {string} path @returns {[string, string]}
 */
function judged(path) {
  const parts = path.split("/");
  const hidden = parts.findIndex((part) => part.startsWith("."));
  if (hidden >= 0) return [parts.slice(0, hidden + 1).join("/"), "hidden"];
  return [path, parts.at(-1)?.toUpperCase() === "DICOMDIR" ? "DICOMDIR" : ""];
}

/** @param {Found[]} files @param {Rules} rules @returns {Promise<string[]>} */
async function looked(files, rules) {
  const reasons = [];
  for (let start = 0; start < files.length; start += HEADS_AT_ONCE) {
    const some = files.slice(start, start + HEADS_AT_ONCE);
    const heads = await Promise.all(some.map((each) => head(each.file, rules.head_bytes)));
    const body = { heads: heads.map((each) => each ?? "") };
    const found = (await json("POST", "looks", { body })).reasons;
    // What cannot be read is a failure and not left out, as in a batch.
    reasons.push(...found.map((/** @type {string} */ reason, /** @type {number} */ index) => (heads[index] === null ? "" : reason)));
  }
  return reasons;
}

/** @param {File} file @param {number} bytes @returns {Promise<string | null>}  In base64. */
async function head(file, bytes) {
  try {
    return btoa(String.fromCharCode(...new Uint8Array(await file.slice(0, bytes).arrayBuffer())));
  } catch {
    return null;
  }
}

/** @param {FileSystemEntry | File} given @param {Found[]} all */
async function gather(given, all) {
  if (given instanceof File) {
    all.push({ path: given.webkitRelativePath || given.name, file: given });
  } else if (given.isFile) {
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (given).file(resolve, reject));
    all.push({ path: given.fullPath.replace(/^\//, ""), file });
  } else {
    for (const each of await entriesOf(/** @type {FileSystemDirectoryEntry} */ (given))) await gather(each, all);
  }
}

/** @param {FileSystemDirectoryEntry} folder @returns {Promise<FileSystemEntry[]>}  A browser tells a hundred at a time. */
async function entriesOf(folder) {
  const reader = folder.createReader();
  /** @type {FileSystemEntry[]} */
  const all = [];
  for (;;) {
    const some = await new Promise((/** @type {(found: FileSystemEntry[]) => void} */ resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}
