/** From samples to what is seen: the visible part, through a window, onto a canvas. */

import { request } from "./api.js";

export const REDUCED_PX = 2048;
const CLOSEST = 8;

/**
 * @typedef {{rows: number, columns: number, data: Uint16Array}} Samples
 * @typedef {{zoom: number | null, x: number, y: number}} Place  zoom: pixels of the screen for one of the picture, null
 *   fits it in; x, y: the point of the picture in the middle, in its pixels.
 * @typedef {{rows: number, columns: number}} Size
 */

/**
 * @param {string} id  Of a radiograph. @param {number} most_px  Of the longer side. @param {AbortSignal} signal
 * @returns {Promise<Samples>}
 */
export async function fetchSamples(id, most_px, signal) {
  const response = await request("GET", `radiographs/${id}/values?max_px=${most_px}`, { signal });
  const [rows, columns] = ["x-rows", "x-columns"].map((name) => Number(response.headers.get(name)));
  return { rows, columns, data: new Uint16Array(await response.arrayBuffer()) };
}

/** @param {Size} stage @param {Size} film */
export const fitting = (stage, film) => Math.min(stage.columns / film.columns, stage.rows / film.rows);

/** @param {Place} place @param {Size} stage @param {Size} film */
export const zoomOf = (place, stage, film) => place.zoom ?? fitting(stage, film);

/**
 * A place where no more black is seen than there must be.
 * @param {Place} place @param {Size} stage @param {Size} film @returns {Place}
 */
export function settled(place, stage, film) {
  const zoom = zoomOf(place, stage, film);
  return { zoom: place.zoom, x: within(place.x, stage.columns / zoom, film.columns), y: within(place.y, stage.rows / zoom, film.rows) };
}

/** @param {number} at @param {number} seen @param {number} all */
function within(at, seen, all) {
  return seen >= all ? all / 2 : Math.min(Math.max(at, seen / 2), all - seen / 2);
}

/**
 * Zoomed so that the point under the pointer stays there.
 * @param {Place} place @param {number} factor @param {{right: number, down: number}} from  The pointer, from the middle of the stage, in pixels of the screen.
 * @param {Size} stage @param {Size} film @returns {Place}
 */
export function zoomed(place, factor, from, stage, film) {
  const before = zoomOf(place, stage, film);
  const least = fitting(stage, film);
  const zoom = Math.min(Math.max(before * factor, least), Math.max(CLOSEST, least));
  const x = place.x + from.right / before - from.right / zoom;
  const y = place.y + from.down / before - from.down / zoom;
  return settled({ zoom: zoom === least ? null : zoom, x, y }, stage, film);
}

const part = document.createElement("canvas");

/**
 * @param {HTMLCanvasElement} canvas  As many pixels as it has on the screen. @param {Samples} samples  All, or a reduced copy.
 * @param {Size} film  All of it. @param {Place} place @param {Uint32Array} table  Of `greys`.
 */
export function draw(canvas, samples, film, place, table) {
  const stage = { rows: canvas.height, columns: canvas.width };
  const zoom = zoomOf(place, stage, film);
  const share = samples.columns / film.columns;
  const seen = visiblePart(samples, share, stage, zoom, place);
  if (seen.columns < 1 || seen.rows < 1) return;
  paint(samples, seen, table);
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = true;
  pen.imageSmoothingQuality = "high";
  const side = zoom / share;
  const [left, top] = [stage.columns / 2 - place.x * zoom + seen.left * side, stage.rows / 2 - place.y * zoom + seen.top * side];
  pen.drawImage(part, 0, 0, seen.columns, seen.rows, left, top, seen.columns * side, seen.rows * side);
}

/** @param {Samples} samples @param {number} share @param {Size} stage @param {number} zoom @param {Place} place */
function visiblePart(samples, share, stage, zoom, place) {
  const half = { columns: stage.columns / zoom / 2, rows: stage.rows / zoom / 2 };
  const left = Math.max(0, Math.floor((place.x - half.columns) * share));
  const top = Math.max(0, Math.floor((place.y - half.rows) * share));
  const right = Math.min(samples.columns, Math.ceil((place.x + half.columns) * share));
  const bottom = Math.min(samples.rows, Math.ceil((place.y + half.rows) * share));
  return { left, top, columns: right - left, rows: bottom - top };
}

/** @param {Samples} samples @param {{left: number, top: number, columns: number, rows: number}} seen @param {Uint32Array} table */
function paint(samples, seen, table) {
  const image = new ImageData(seen.columns, seen.rows);
  const pixels = new Uint32Array(image.data.buffer);
  let to = 0;
  for (let row = 0; row < seen.rows; row++) {
    let from = (seen.top + row) * samples.columns + seen.left;
    for (let column = 0; column < seen.columns; column++) pixels[to++] = table[samples.data[from++]];
  }
  if (part.width < seen.columns || part.height < seen.rows) {
    part.width = Math.max(part.width, seen.columns);
    part.height = Math.max(part.height, seen.rows);
  }
  /** @type {CanvasRenderingContext2D} */ (part.getContext("2d", { alpha: false })).putImageData(image, 0, 0);
}
