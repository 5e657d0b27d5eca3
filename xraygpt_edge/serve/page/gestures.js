/** What hands do to a picture: mouse, pen and fingers, told as windowing, moving and zooming. */

const FINE = 0.1;
const WHEEL = 0.0015;
const DRAG_ZOOM = 0.006;

/**
 * @typedef {{right: number, down: number}} Way  In CSS pixels.
 * @typedef {{
 *   window: (way: Way) => void, pan: (way: Way) => void, zoom: (factor: number, at: Way) => void,
 *   toggle: (at: Way) => void, finger: () => "pan" | "window", isSpaceHeld: () => boolean, spaceUsed: () => void,
 * }} Hands
 */

/**
 * Listen to a canvas; returns how to stop.
 * @param {HTMLElement} canvas @param {Hands} hands  at: from the middle of the canvas.
 */
export function listen(canvas, hands) {
  /** @type {Map<number, {x: number, y: number}>} */
  const down = new Map();
  let action = "";

  /** @param {{clientX: number, clientY: number}} event @returns {Way} */
  const from = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    return { right: clientX - box.left - box.width / 2, down: clientY - box.top - box.height / 2 };
  };

  const pressed = (/** @type {PointerEvent} */ event) => {
    canvas.focus({ preventScroll: true });
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    canvas.setPointerCapture(event.pointerId);
    action = actionOf(event, hands);
    if (event.button === 1) event.preventDefault();
  };

  const moved = (/** @type {PointerEvent} */ event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    down.set(event.pointerId, now);
    const way = { right: now.x - before.x, down: now.y - before.y };
    if (down.size === 2) pinched(event.pointerId, before, now, way);
    else if (action === "pan") hands.pan(way);
    else if (action === "zoom") hands.zoom(Math.exp(-way.down * DRAG_ZOOM), from(event));
    else hands.window(event.shiftKey ? { right: way.right * FINE, down: way.down * FINE } : way);
    if (hands.isSpaceHeld()) hands.spaceUsed();
  };

  /** @param {number} id @param {{x: number, y: number}} before @param {{x: number, y: number}} now @param {Way} way */
  const pinched = (id, before, now, way) => {
    const other = [...down].find(([each]) => each !== id)?.[1];
    if (!other) return;
    const apart = (/** @type {{x: number, y: number}} */ one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
    hands.pan({ right: way.right / 2, down: way.down / 2 });
    hands.zoom(apart(now) / apart(before), from({ clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 }));
  };

  const released = (/** @type {PointerEvent} */ event) => down.delete(event.pointerId);
  const wheeled = (/** @type {WheelEvent} */ event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    hands.zoom(Math.exp(-event.deltaY * lines * WHEEL), from(event));
  };
  const doubled = (/** @type {MouseEvent} */ event) => hands.toggle(from(event));
  const nothing = (/** @type {Event} */ event) => event.preventDefault();

  const all = /** @type {[string, any][]} */ ([
    ["pointerdown", pressed], ["pointermove", moved], ["pointerup", released], ["pointercancel", released],
    ["wheel", wheeled], ["dblclick", doubled], ["contextmenu", nothing],
  ]);
  for (const [name, heard] of all) canvas.addEventListener(name, heard, { passive: false });
  return () => all.forEach(([name, heard]) => canvas.removeEventListener(name, heard));
}

/** @param {PointerEvent} event @param {Hands} hands */
function actionOf(event, hands) {
  if (event.pointerType === "touch") return hands.finger();
  if (event.button === 1 || hands.isSpaceHeld()) return "pan";
  return event.button === 2 ? "zoom" : "window";
}
