/** How far to trust an answer, in the words of the server: a mark before each sentence, and what speaks against it. */

import { Seen } from "./compare.js";
import { html, visible } from "./view.js";
import { words } from "./words.js";

const said = words.trust;

/** @param {{parts: {text: string, mark: any}[]}} props  All parts together are the text. */
export function Marked({ parts }) {
  return parts.map(({ text, mark }) => mark
    ? html`<span class=${`sentence ${mark.name}`}><span class="mark" role="img" aria-label=${`${mark.meaning}:`} title=${mark.meaning}>${mark.sign}</span>${visible(text)}</span>`
    : visible(text));
}

/** @param {{marked: any}} props */
export function Checks({ marked }) {
  const { checks, film, source } = marked;
  return html`${checks.length > 0 && html`<ul class="checks" aria-label=${said.label}>${checks.map((/** @type {string} */ line) => html`<li key=${line}>${visible(line)}</li>`)}</ul>`}
    <p class="source">${visible(`${film} ${source}`.trim())}</p>`;
}

/** @param {{marked: any, film: any, profile: string, maps: {note: string, isDrawing: boolean, draw: () => void} | null}} props  maps: null where none can be had. */
export function Panel({ marked, film, profile, maps: asked }) {
  const { panel, maps, legend } = marked;
  return html`<details class="panel"><summary>${panel.length ? said.panel : said.marks}</summary>
    <ul class="legend">${legend.map((/** @type {any} */ mark) => html`<li key=${mark.name}><span class=${`mark ${mark.name}`} aria-hidden="true">${mark.sign}</span> ${mark.meaning}</li>`)}</ul>
    <p class="source">${said.legend}</p>
    ${panel.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label=${said.panel}><table>
      <thead><tr>${Object.values(said.columns).map((each) => html`<th scope="col" key=${each}>${each}</th>`)}</tr></thead>
      <tbody>${panel.map((/** @type {any} */ each) => html`<${Finding} key=${each.name} finding=${each} />`)}</tbody></table></div>`}
    ${marked.can_be_mapped && asked && html`<p class="row"><button type="button" aria-disabled=${asked.isDrawing} onClick=${asked.draw}>${said.draw}</button>
      <span class="source" role="status">${asked.note || said.drawCosts}</span></p>`}
    ${marked.maps_said && html`<p class="source">${marked.maps_said}</p>`}
    ${maps.length > 0 && html`<div class="maps">${maps.map((/** @type {any} */ each) => html`<${Map} key=${each.finding} map=${each} film=${film} profile=${profile} />`)}</div>`}
  </details>`;
}

/** @param {{finding: any}} props */
function Finding({ finding }) {
  const { name, verdict, p, band, said: stated } = finding;
  return html`<tr class=${verdict === "present" ? "present" : ""}><th scope="row">${visible(name)}</th><td>${verdict ?? said.none}</td>
    <td>${p === null ? "" : html`<meter min="0" max="1" value=${p} aria-hidden="true"></meter> ${p.toFixed(2)}`}</td><td>${band}</td><td>${stated ?? said.nothing}</td></tr>`;
}

/** @param {{map: any, film: any, profile: string}} props  On the picture that the model was given. */
function Map({ map, film, profile }) {
  const { finding, n_cells: cells, area, border } = map;
  return html`<figure role="img" aria-label=${said.mapLabel(visible(finding))}>
    <div class="film"><${Seen} film=${film} profile=${profile} />
      <svg viewBox=${`0 0 ${cells} ${cells}`} preserveAspectRatio="none" aria-hidden="true"><path class="area" d=${area} /><path class="halo" d=${border} /><path class="border" d=${border} /></svg></div>
    <figcaption>${visible(finding)}</figcaption>
  </figure>`;
}
