/** What speaks against a file: warnings of one that was read, and why another was refused. */

import { useEffect, useState } from "preact/hooks";
import { json } from "./api.js";
import { sendFilm, take } from "./film.js";
import { explain, set } from "./state.js";
import { FileButton, html, Icon, visible } from "./view.js";
import { words } from "./words.js";

const FRAMES = new Set(["E-DCM-011", "E-IMG-008"]);
/** Refusals of a file that holds several pictures, of which one must be chosen. */

/** @param {{input: any}} props */
export function Doubts({ input }) {
  const { warnings } = input;
  if (!warnings.length) return html`<p class="doubts none"><${Icon} name="ok" />${words.doubts.none}</p>`;
  return html`<section class="doubts" aria-labelledby="doubts">
    <h3 id="doubts"><${Icon} name="warn" />${words.doubts.title(warnings.length)}</h3>
    <ul>${warnings.map((/** @type {any} */ each) => html`<li key=${each.id}>${visible(each.message)} <${Explained} id=${each.id} /></li>`)}</ul>
  </section>`;
}

/** @param {{id: string}} props  An id, and behind it what it means. */
export function Explained({ id }) {
  return html`<button type="button" class="link" onClick=${() => explain(id)} aria-label=${words.doubts.explains(id)}>${id}</button>`;
}

/** @param {{refused: any, film: any}} props */
export function Refused({ refused, film }) {
  const { trouble, file, options } = refused;
  const [entry, setEntry] = useState(/** @type {any} */ (null));
  useEffect(() => {
    setEntry(null);
    if (trouble.id) json("GET", `explain/${trouble.id}`).then(setEntry, () => null);
  }, [trouble]);
  const again = (/** @type {object} */ more) => sendFilm(file, { ...options, ...more });
  return html`<section class="refused" role="alert" aria-labelledby="refused">
    <h2 id="refused"><${Icon} name="warn" />${words.doubts.refused}</h2>
    <p class="reason">${trouble.status ? visible(trouble.message) : words.model.lost}</p>
    ${entry && html`<p>${visible(entry.meaning)}</p>`}
    ${trouble.canForce && html`<${Nevertheless} onGo=${() => again({ force: true })} />`}
    ${FRAMES.has(trouble.id) && html`<${Frame} onGo=${(/** @type {number} */ frame) => again({ frame })} />`}
    <p class="row">
      <${FileButton} label=${words.doubts.other} onFiles=${take} />
      ${trouble.status ? html`<${Explained} id=${trouble.id} />` : html`<button type="button" onClick=${() => again({})}>${words.ask.askAgain}</button>`}
      ${film && html`<button type="button" onClick=${() => set({ refused: null })}>${words.about.back}</button>`}
    </p>
  </section>`;
}

/** @param {{onGo: () => void}} props  Nothing is ticked beforehand. */
function Nevertheless({ onGo }) {
  const [isTicked, setTicked] = useState(false);
  return html`<div class="nevertheless">
    <label><input type="checkbox" checked=${isTicked} onChange=${(/** @type {any} */ event) => setTicked(event.currentTarget.checked)} /> ${words.doubts.nevertheless}</label>
    <button type="button" disabled=${!isTicked} onClick=${onGo}>${words.doubts.go}</button>
  </div>`;
}

/** @param {{onGo: (frame: number) => void}} props */
function Frame({ onGo }) {
  const [frame, setFrame] = useState(1);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    onGo(frame);
  };
  return html`<form class="nevertheless" onSubmit=${submit}>
    <label>${words.doubts.frame} <input type="number" min="1" value=${frame} onInput=${(/** @type {any} */ event) => setFrame(Number(event.currentTarget.value) || 1)} /></label>
    <button type="submit">${words.doubts.read}</button>
  </form>`;
}
