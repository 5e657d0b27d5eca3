/** The picture's buttons, and its window in numbers. */

import { useEffect, useState } from "preact/hooks";
import { html, Icon, visible } from "./view.js";
import { inNumbers, stepOf, widthOf, windowOf } from "./window.js";
import { words } from "./words.js";

/**
 * @typedef {import("./picture.js").Look} Look
 * @typedef {import("./picture.js").Does} Does
 */

/** @param {{look: Look, does: Does, windows: any[]}} props */
export function Tools({ look, does, windows }) {
  const said = words.picture;
  const tool = (/** @type {string} */ name, /** @type {string} */ label, /** @type {() => void} */ work, /** @type {boolean | undefined} */ isPressed = undefined) =>
    html`<button type="button" onClick=${work} aria-pressed=${isPressed}><${Icon} name=${name} /><span>${label}</span></button>`;
  return html`<div class="tools" role="group" aria-label=${said.tools}>
    <${Preset} look=${look} does=${does} windows=${windows} />
    ${tool("invert", said.invert, does.invert, look.isInverted)}
    ${tool("fit", said.fit, does.fit)}
    ${tool("one", said.one, does.one)}
    ${tool("reset", said.reset, does.reset)}
    ${tool("compare", said.compare, does.compare, look.isComparing)}
    <span class="touch">${tool("hand", said.finger[look.finger], does.finger)}</span>
    ${tool("keys", said.keys, does.keys)}
  </div>`;
}

/** @param {{look: Look, does: Does, windows: any[]}} props  Windows that the file or its values suggest. */
function Preset({ look, does, windows }) {
  const { low, high } = look.window;
  const chosen = windows.findIndex((each) => each.low === low && each.high === high);
  const choose = (/** @type {any} */ event) => {
    const { low, high } = windows[Number(event.currentTarget.value)];
    does.window({ low, high });
  };
  return html`<span class="preset"><label for="preset">${words.picture.window}</label>
    <select id="preset" onChange=${choose} value=${String(chosen)}>
      ${windows.map((each, index) => html`<option value=${String(index)} selected=${index === chosen}>${nameOf(each.name)}</option>`)}
      ${chosen < 0 && html`<option value="-1" selected>${words.picture.typed}</option>`}
    </select></span>`;
}

/** @param {string} name  As the server says it. */
function nameOf(name) {
  const number = /^file (\d+)$/.exec(name)?.[1];
  if (number) return words.picture.fileWindow(Number(number));
  return words.picture.windows[/** @type {"all"} */ (name)] ?? visible(name);
}

/** @param {{look: Look, does: Does, values: {low: number, high: number}}} props */
export function Windows({ look, does, values }) {
  const { level, width } = inNumbers(look.window, values);
  const step = stepOf(values);
  return html`<div class="windows">
    <${Amount} id="level" label=${words.picture.level} hint=${words.picture.levelHint} value=${level} step=${step} least=${values.low} most=${values.high}
      onChange=${(/** @type {number} */ wanted) => does.window(windowOf(wanted, width, values))} />
    <${Amount} id="width" label=${words.picture.width} hint=${words.picture.widthHint} value=${width} step=${step} least=${step} most=${widthOf(values)}
      onChange=${(/** @type {number} */ wanted) => does.window(windowOf(level, wanted, values))} />
  </div>`;
}

/** @param {any} props  One number: to slide, or to type. */
function Amount({ id, label, hint, value, step, least, most, onChange }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  useEffect(() => setTyped(null), [value]);
  const commit = () => {
    if (typed !== null && typed.trim() !== "" && Number.isFinite(Number(typed))) onChange(Number(typed));
    setTyped(null);
  };
  return html`<div class="amount" title=${hint}>
    <label for=${id}>${label}</label>
    <input type="range" aria-label=${hint} min=${least} max=${most} step=${step} value=${value} onInput=${(/** @type {any} */ event) => onChange(Number(event.currentTarget.value))} />
    <input id=${id} type="number" min=${least} max=${most} step="any" value=${typed ?? value} onInput=${(/** @type {any} */ event) => setTyped(event.currentTarget.value)}
      onChange=${commit} onBlur=${commit} />
  </div>`;
}
