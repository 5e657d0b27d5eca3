/** What the model sees of a radiograph, under each way to read it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { request } from "./api.js";
import { readOtherwise } from "./film.js";
import { html } from "./view.js";
import { words } from "./words.js";

const PROFILES = /** @type {const} */ (["mimic-jpg", "display"]);

/** @param {{film: any}} props */
export function Compare({ film }) {
  return html`${PROFILES.map((profile) => html`<${ModelView} key=${profile} film=${film} profile=${profile} />`)}
    <p class="applies">${words.compare.applies}</p>`;
}

/** @param {{film: any, profile: typeof PROFILES[number]}} props */
function ModelView({ film, profile }) {
  const [isMissing, setMissing] = useState(false);
  const answers = film.input.profile === profile;
  return html`<figure class=${`model-view${answers ? " answers" : ""}`}>
    <${Seen} film=${film} profile=${profile} onMissing=${() => setMissing(true)} />
    <figcaption><b>${words.compare.profiles[profile]}</b>
      ${isMissing ? html`<span>${words.compare.cannot}</span>`
        : answers ? html`<span class="answering">${words.compare.answers}</span>`
        : html`<button type="button" onClick=${() => readOtherwise({ profile })}>${words.compare.choose}</button>`}
    </figcaption>
  </figure>`;
}

/**
 * The model's picture on a canvas, so that no copy of it lies where a browser keeps large files.
 * @param {{film: any, profile: string, onMissing?: () => void}} props
 */
export function Seen({ film, profile, onMissing }) {
  const canvas = useRef(/** @type {any} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    paint(canvas.current, `radiographs/${film.id}/view?profile=${profile}`, stop.signal).catch(() => stop.signal.aborted || onMissing?.());
    return () => stop.abort();
  }, [film.id, film.input.frame, profile]);
  return html`<canvas ref=${canvas} width="224" height="224" role="img" aria-label=${words.compare.profiles[/** @type {"display"} */ (profile)]}></canvas>`;
}

/** @param {HTMLCanvasElement} canvas @param {string} path @param {AbortSignal} signal */
async function paint(canvas, path, signal) {
  const bytes = await (await request("GET", path, { signal })).arrayBuffer();
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
}
