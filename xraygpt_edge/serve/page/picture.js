/** The radiograph as radiologists expect it: windowed, zoomed and moved; never turned, never mirrored. */

import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { draw, fetchSamples, fitting, REDUCED_PX, settled, zoomed, zoomOf } from "./canvas.js";
import { Compare } from "./compare.js";
import { forget } from "./film.js";
import { listen } from "./gestures.js";
import { keysOf } from "./keys.js";
import { set } from "./state.js";
import { Icon, html, visible } from "./view.js";
import { Tools, Windows } from "./tools.js";
import { dragged, greys } from "./window.js";
import { words } from "./words.js";

/**
 * @typedef {import("./canvas.js").Place} Place
 * @typedef {import("./canvas.js").Size} Size
 * @typedef {{window: import("./window.js").Window, isInverted: boolean, place: Place, isComparing: boolean, finger: "pan" | "window"}} Look
 */

const CENTRE = { zoom: null, x: 0, y: 0 };

/** @param {any} film  As the server tells it. @returns {Look} */
const firstLook = (film) => ({
  window: film.values.windows[0], isInverted: false, place: CENTRE, isComparing: false, finger: "pan",
});

/** @param {{film: any}} props */
export function Picture({ film }) {
  const [look, change] = useReducer(
    (/** @type {Look} */ before, /** @type {(look: Look) => Partial<Look>} */ changing) => ({ ...before, ...changing(before) }),
    film, firstLook);
  const [stage, setStage] = useState({ rows: 1, columns: 1 });
  const size = { rows: film.values.rows, columns: film.values.columns };
  const shown = useSamples(film, size, zoomOf(look.place, stage, size));
  const does = useMemo(() => actions(change, film, size, stage), [film, stage]);
  return html`<section class=${`picture${look.isComparing ? " comparing" : ""}`} aria-labelledby="radiograph">
    <h2 id="radiograph" class="unseen">${words.picture.heading}</h2>
    <${Tools} look=${look} does=${does} windows=${film.values.windows} />
    <div class="views">
      <${Stage} film=${film} look=${look} does=${does} size=${size} stage=${stage} setStage=${setStage} shown=${shown} />
      ${look.isComparing && html`<${Compare} film=${film} />`}
    </div>
    <${Windows} look=${look} does=${does} values=${film.values} />
    <${Facts} film=${film} />
  </section>`;
}

/**
 * Samples of the film, first a reduced copy, then all of them where the screen shows more than the copy has.
 * @param {any} film @param {Size} size @param {number} zoom
 */
function useSamples(film, size, zoom) {
  const [samples, setSamples] = useState(/** @type {import("./canvas.js").Samples | null} */ (null));
  const [isFailed, setFailed] = useState(false);
  const wantsAll = samples !== null && samples.columns < size.columns && zoom > samples.columns / size.columns;
  const frame = film.input.frame;
  useEffect(() => {
    const stop = new AbortController();
    fetchSamples(film.id, wantsAll ? Math.max(size.rows, size.columns) : REDUCED_PX, stop.signal).then(setSamples, () => stop.signal.aborted || setFailed(true));
    return () => stop.abort();
  }, [film.id, frame, wantsAll]);
  return { samples, isFailed };
}

/** Everything that buttons, keys and hands do to a look. */
function actions(/** @type {any} */ change, /** @type {any} */ film, /** @type {Size} */ size, /** @type {Size} */ stage) {
  const ratio = () => devicePixelRatio || 1;
  const place = (/** @type {(place: Place) => Place} */ moving) => change((/** @type {Look} */ look) => ({ place: moving(look.place) }));
  const zoom = (/** @type {number} */ factor, at = { right: 0, down: 0 }) =>
    place((before) => zoomed(before, factor, { right: at.right * ratio(), down: at.down * ratio() }, stage, size));
  const oneToOne = (/** @type {any} */ at) => place((before) => zoomed(before, 1 / zoomOf(before, stage, size), scaled(at, ratio()), stage, size));
  const fit = () => place(() => settled(CENTRE, stage, size));
  return {
    fit, zoom,
    one: () => oneToOne({ right: 0, down: 0 }),
    toggle: (/** @type {any} */ at) => place((before) => before.zoom === null
      ? zoomed(before, 1 / fitting(stage, size), scaled(at, ratio()), stage, size) : settled(CENTRE, stage, size)),
    pan: (/** @type {{right: number, down: number}} */ way) => place((before) => {
      const scale = ratio() / zoomOf(before, stage, size);
      return settled({ ...before, x: before.x - way.right * scale, y: before.y - way.down * scale }, stage, size);
    }),
    settle: () => place((before) => settled(before, stage, size)),
    drag: (/** @type {{right: number, down: number}} */ way) => change((/** @type {Look} */ look) => {
      const width = (size.columns * zoomOf(look.place, stage, size)) / ratio();
      return { window: dragged(look.window, way.right / width, way.down / width, film.values) };
    }),
    window: (/** @type {import("./window.js").Window} */ window) => change(() => ({ window })),
    invert: () => change((/** @type {Look} */ look) => ({ isInverted: !look.isInverted })),
    compare: () => change((/** @type {Look} */ look) => ({ isComparing: !look.isComparing })),
    finger: () => change((/** @type {Look} */ look) => ({ finger: look.finger === "pan" ? "window" : "pan" })),
    reset: () => change(() => ({ window: film.values.windows[0], isInverted: false, place: settled(CENTRE, stage, size) })),
    keys: () => set({ dialog: { kind: "keys" } }),
  };
}

/** @typedef {ReturnType<typeof actions>} Does */

/** @param {{right: number, down: number}} at @param {number} by */
const scaled = (at, by) => ({ right: at.right * by, down: at.down * by });

/** @param {any} props  The canvas, and what is written on it. */
function Stage({ film, look, does, size, stage, setStage, shown }) {
  const canvas = useRef(/** @type {any} */ (null));
  const now = useRef(/** @type {any} */ (null));
  const table = useMemo(() => greys(look.window, film.values, look.isInverted), [look.window, film.values, look.isInverted]);
  now.current = { look, does, space: now.current?.space ?? { isHeld: false, isUsed: false } };
  useEffect(() => followSize(canvas.current, setStage), []);
  useEffect(() => does.settle(), [does]);
  useEffect(() => {
    const space = () => now.current.space;
    return listen(canvas.current, {
      window: (way) => now.current.does.drag(way), pan: (way) => now.current.does.pan(way),
      zoom: (factor, at) => now.current.does.zoom(factor, at), toggle: (at) => now.current.does.toggle(at),
      finger: () => now.current.look.finger, isSpaceHeld: () => space().isHeld, spaceUsed: () => (space().isUsed = true),
    });
  }, []);
  useLayoutEffect(() => { // at once: a canvas of another size is black until it is drawn on
    if (shown.samples && stage.columns > 1) draw(canvas.current, shown.samples, size, settled(look.place, stage, size), table);
  }, [shown.samples, look.place, table, stage]);
  const [low, high] = [look.window.low, look.window.high].map(Math.round);
  const label = words.picture.label(`${size.columns} × ${size.rows}`, low, high, look.isInverted);
  const percent = Math.round(100 * zoomOf(look.place, stage, size));
  return html`<figure class="stage">
    <canvas ref=${canvas} tabindex="0" role="img" aria-label=${label} aria-describedby="keys-hint" width=${stage.columns} height=${stage.rows}
      class=${look.place.zoom === null ? "fitted" : ""} ...${keysOf(now)}></canvas>
    <${Marks} film=${film} look=${look} percent=${percent} shown=${shown} />
  </figure>`;
}

/** @param {HTMLCanvasElement} canvas @param {(size: Size) => void} setStage  Told whenever its box has another size. */
function followSize(canvas, setStage) {
  const watch = new ResizeObserver(() => {
    const ratio = devicePixelRatio || 1;
    setStage({ rows: Math.round(canvas.clientHeight * ratio), columns: Math.round(canvas.clientWidth * ratio) });
  });
  watch.observe(canvas);
  return () => watch.disconnect();
}

/** @param {any} props  Sides only where the file states them; what was changed or overridden always. */
function Marks({ film, look, percent, shown }) {
  const said = words.picture;
  const isStated = film.side === "stated";
  return html`<figcaption>
    ${isStated && html`<span class="mark-right" title=${said.rightLong}>${said.right}</span><span class="mark-left" title=${said.leftLong}>${said.left}</span>`}
    ${film.input.forced && html`<span class="mark-top warned">${said.forced}</span>`}
    ${(shown.isFailed || !shown.samples) && html`<span class="mark-middle" role="status">${shown.isFailed ? said.failed : said.loading}</span>`}
    <span class="mark-foot"><span id="keys-hint">${said.keysHint}</span>
      ${!isStated && html`<span>${said.sideUnknown}</span>`}${look.isInverted && html`<span class="warned">${said.inverted}</span>`}<span>${said.zoom(percent)}</span></span>
  </figcaption>`;
}

/** @param {{film: any}} props  What the file is; nobody's identity. */
function Facts({ film }) {
  const { input, steps } = film;
  const facts = [input.format.toUpperCase(), `${input.columns} × ${input.rows}`, input.sop_class, input.transfer_syntax, input.frame && words.picture.frame(input.frame)];
  return html`<div class="facts">
    <p><span>${visible(facts.filter(Boolean).join(" · "))}</span> <strong>${words.picture.notDiagnostic}</strong></p>
    <div class="row">
      <details><summary>${words.picture.steps}</summary>
        <p>${words.picture.burnedIn}</p>
        <ol class="steps">${steps.map((/** @type {any} */ step) => html`<li><b>${visible(step.name)}</b> ${visible(step.detail)}</li>`)}</ol>
      </details>
      <button type="button" class="quiet danger" onClick=${forget}><${Icon} name="forget" />${words.picture.forget}</button>
    </div>
  </div>`;
}
