/** The films of a run, one a row: found, filtered, sorted, opened. */

import { useState } from "preact/hooks";
import { Explained } from "./doubts.js";
import { openRow } from "./run.js";
import { html, Icon, visible } from "./view.js";
import { words } from "./words.js";

/** @typedef {import("./run.js").Row} Row */

const said = words.folder.table;
const AT_ONCE = 100;
const COLUMNS = /** @type {const} */ (["state", "name", "text", "warnings", "seconds"]);
const FILTERS = /** @type {Record<string, (row: Row) => boolean>} */ ({
  all: () => true,
  failed: (row) => row.state === "failed",
  warned: (row) => row.warnings.length > 0,
});
const ORDER = ["failed", "answering", "reading", "waiting", "unsent", "ok", "left out"];
const KEYS = /** @type {Record<string, (row: Row) => string | number>} */ ({
  state: (row) => ORDER.indexOf(row.state),
  name: (row) => row.path,
  text: (row) => sentence(row) || "\uffff",
  warnings: (row) => -row.warnings.length,
  seconds: (row) => -row.seconds,
});

/** @param {{folder: import("./run.js").Folder}} props */
export function Table({ folder: { rows } }) {
  const [filter, setFilter] = useState("all");
  const [search, setSearch] = useState("");
  const [sort, setSort] = useState({ by: "", isDown: false });
  const [n, setShown] = useState(AT_ONCE);
  const found = sorted(rows.filter((row) => FILTERS[filter](row) && isWanted(row, search)), sort);
  return html`<section aria-labelledby="films" class="films"><h3 id="films" class="unseen">${said.title}</h3>
    <div class="row filters">
      <span class="segments" role="group" aria-label=${said.filter}>${Object.keys(FILTERS).map((each) => html`<button type="button" key=${each} aria-pressed=${filter === each}
        onClick=${() => setFilter(each)}>${said.filters[/** @type {"all"} */ (each)]} <span class="soft">${rows.filter(FILTERS[each]).length}</span></button>`)}</span>
      <label class="unseen" for="search">${said.search}</label>
      <input id="search" type="search" value=${search} placeholder=${said.search} spellcheck=${false} autocomplete="off" translate="no"
        onInput=${(/** @type {any} */ event) => setSearch(event.currentTarget.value)} />
    </div>
    <div class="scroll" tabindex="0" role="region" aria-label=${said.table}><table>
      <thead><tr>${COLUMNS.map((each) => html`<th key=${each} scope="col" class=${each} aria-sort=${sort.by !== each ? undefined : sort.isDown ? "descending" : "ascending"}>
        <button type="button" class="quiet" onClick=${() => setSort({ by: each, isDown: sort.by === each && !sort.isDown })}>${said.columns[each]}<span aria-hidden="true">${sort.by !== each ? "" : sort.isDown ? " ▾" : " ▴"}</span></button></th>`)}</tr></thead>
      <tbody>${found.slice(0, n).map((row) => html`<${OneRow} key=${row.n} row=${row} />`)}</tbody>
    </table></div>
    ${!found.length && html`<p class="soft" role="status">${said.none}</p>`}
    ${found.length > n && html`<p><button type="button" onClick=${() => setShown(n + AT_ONCE)}>${said.more(Math.min(AT_ONCE, found.length - n), found.length - n)}</button></p>`}
  </section>`;
}

/** @param {{row: Row}} props */
function OneRow({ row }) {
  const { state } = row;
  const words = row.known ? said.known : said.states[/** @type {"ok"} */ (state)];
  return html`<tr class=${state.replace(" ", "-")}>
    <td class="state"><span><${Icon} name=${ICONS[state] ?? "wait"} />${words}</span></td>
    <th scope="row" class="name"><button type="button" class="open" onClick=${() => openRow(row)}>${visible(row.path)}</button></th>
    <td class="text">${row.error ? html`<span class="bad">${visible(firstOf(row.error.message))}</span> ${row.error.code && html`<${Explained} id=${row.error.code} />`}` : visible(sentence(row))}</td>
    <td class="warnings">${row.warnings.map((each) => html`<${Explained} key=${each} id=${each} /> `)}</td>
    <td class="seconds">${row.seconds > 0 ? row.seconds.toFixed(1) : ""}</td>
  </tr>`;
}

/** @type {Record<string, string>} */
const ICONS = { ok: "check", failed: "warn", answering: "busy", reading: "busy" };

/** @param {string} text  Its first sentence. */
const firstOf = (text) => /^.*?[.!?](?=\s|$)/s.exec(text)?.[0] ?? text;

/** @param {Row} row */
const sentence = (row) => firstOf(row.answers[0]?.text ?? "");

/** @param {Row} row @param {string} search  In names and whole answers. */
function isWanted(row, search) {
  const wanted = search.trim().toLowerCase();
  return !wanted || [row.path, ...row.answers.map(({ text }) => text), row.error?.message ?? ""].some((text) => text.toLowerCase().includes(wanted));
}

/** @param {Row[]} rows @param {{by: string, isDown: boolean}} sort @returns {Row[]} */
function sorted(rows, { by, isDown }) {
  if (!by) return rows;
  const key = KEYS[by];
  const way = isDown ? -1 : 1;
  return rows.toSorted((one, other) => (key(one) < key(other) ? -way : key(one) > key(other) ? way : one.n - other.n));
}
