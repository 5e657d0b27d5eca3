/** Windows of a radiograph: which values become black and which white. Arithmetic alone. */

/** @typedef {{low: number, high: number}} Window  Values at and below low are black, at and above high white. */

/** @param {Window} window */
export const widthOf = (window) => window.high - window.low;

/** @param {Window} window */
export const levelOf = (window) => (window.low + window.high) / 2;

/**
 * The smallest step in which people choose values.
 * @param {Window} values
 */
export const stepOf = (values) => (widthOf(values) >= 100 ? 1 : widthOf(values) / 1000);

/** @param {number} value @param {Window} values  Those that exist. */
const rounded = (value, values) => Number((Math.round(value / stepOf(values)) * stepOf(values)).toPrecision(8));

/**
 * The window of a level and a width, moved and narrowed until it lies within the values that exist.
 * @param {number} level @param {number} width @param {Window} values @returns {Window}
 */
export function windowOf(level, width, values) {
  const wide = Math.min(Math.max(width, stepOf(values)), widthOf(values));
  const low = Math.min(Math.max(level - wide / 2, values.low), values.high - wide);
  return { low, high: low + wide };
}

/** A window's level and width as people read them. @param {Window} window @param {Window} values */
export const inNumbers = (window, values) => ({ level: rounded(levelOf(window), values), width: rounded(widthOf(window), values) });

/**
 * As dragged: right is wider, down is darker.
 * @param {Window} window @param {number} right @param {number} down  In widths of the picture. @param {Window} values
 */
export function dragged(window, right, down, values) {
  const range = widthOf(values);
  return windowOf(levelOf(window) + down * range, widthOf(window) + right * range, values);
}

const SAMPLES = 1 << 16;

/**
 * Grey level of every sample, as opaque pixels. Samples run evenly from the lowest value to the highest.
 * @param {Window} window @param {Window} values  Those that exist. @param {boolean} isInverted
 */
export function greys(window, values, isInverted) {
  const table = new Uint32Array(SAMPLES);
  const step = widthOf(values) / (SAMPLES - 1);
  const scale = 255 / (widthOf(window) || step);
  for (let sample = 0; sample < SAMPLES; sample++) {
    const grey = Math.round(Math.min(Math.max((values.low + sample * step - window.low) * scale, 0), 255));
    const shown = isInverted ? 255 - grey : grey;
    table[sample] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
  }
  return table;
}
