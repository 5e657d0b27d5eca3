/** One complete answer: its words with what is known of them, what made it, and how it is taken away. */

import { useState } from "preact/hooks";
import { announce } from "./state.js";
import { copy, FORMATS, save } from "./taking.js";
import { Marked, Checks, Panel } from "./trust.js";
import { html, Icon, Menu, visible } from "./view.js";
import { words } from "./words.js";

const said = words.answer;

/** @param {{answer: any, film: any, maps: {note: string, isDrawing: boolean, draw: () => void} | null}} props */
export function Answer({ answer, film, maps }) {
  const { marked } = answer;
  return html`<div class="answer">
    <p class="said" translate="no">${marked ? html`<${Marked} parts=${marked.parts} />` : visible(answer.text)}
      ${answer.finish_reason === "cancelled" && html` <span class="stopped">${words.ask.stopped}</span>`}</p>
    <${Remarks} answer=${answer} />
    ${marked && html`<${Checks} marked=${marked} />`}
    <${Taking} answer=${answer} />
    ${marked && html`<${Panel} marked=${marked} film=${film} profile=${answer.input.profile} maps=${maps} />`}
    <details class="made"><summary>${said.made}</summary><${Made} answer=${answer} /></details>
  </div>`;
}

/** @param {{answer: any}} props  What limits the answer, beside the warnings of the file above. */
function Remarks({ answer }) {
  const { finish_reason: reason, input, forgotten } = answer;
  const remarks = [
    reason === "length" && words.ask.length,
    reason === "timeout" && words.ask.timeout,
    input.forced && said.forced,
    forgotten > 0 && words.ask.forgotten(forgotten),
  ].filter(Boolean);
  const warned = input.warnings.map((/** @type {any} */ each) => each.id).join(", ");
  return html`${remarks.map((each) => html`<p class="remark" key=${each}>${each}</p>`)}
    ${warned && html`<p class="remark">${said.warned(warned)}</p>`}`;
}

/** @param {{answer: any}} props */
function Taking({ answer }) {
  const [told, setTold] = useState("");
  const tell = (/** @type {string} */ what) => {
    setTold(what);
    announce(what);
  };
  const taken = (/** @type {Promise<string>} */ work) => work.then(tell, (error) => tell(visible(`${error.id} ${error.message}`).trim() || words.ask.lost));
  const { engine, timing } = answer;
  const made = { seed: engine.seed, temperature: engine.temperature, tokens: timing.tokens, seconds: timing.total_s.toFixed(1) };
  return html`<div class="taking">
    <button type="button" class="quiet" onClick=${() => taken(copy(answer.answer))}><${Icon} name="copy" />${said.copy}</button>
    <${Menu} look="quiet" items=${FORMATS.map((format) => [said.formats[/** @type {"text"} */ (format)], () => taken(save(answer.answer, format))])}>
      <${Icon} name="save" />${said.save}<//>
    <span class="meta">${said.meta(made)}</span>
    ${told && html`<p class="told">${told}</p>`}
  </div>`;
}

/** @param {{answer: any}} props  Every field of `ask --json`. */
function Made({ answer }) {
  return html`<dl class="pairs">${[...pairs(answer)].map(([name, value]) => html`<div key=${name}><dt>${visible(name)}</dt><dd>${visible(value)}</dd></div>`)}</dl>`;
}

/** @param {any} value @param {string} [above] @returns {Generator<[string, string]>} */
function* pairs(value, above = "") {
  for (const [name, inner] of Object.entries(value)) {
    if (SHOWN_ELSEWHERE.has(above + name)) continue;
    const isFlat = inner === null || typeof inner !== "object" || (Array.isArray(inner) && inner.every((each) => typeof each !== "object"));
    if (isFlat) yield [`${above}${name}`.replaceAll("_", " "), Array.isArray(inner) ? inner.join(", ") : String(inner ?? "–")];
    else yield* pairs(inner, `${above}${name} · `);
  }
}

const SHOWN_ELSEWHERE = new Set(["marked", "answer", "conversation"]);
