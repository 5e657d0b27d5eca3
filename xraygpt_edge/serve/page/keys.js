/** Keys of the picture; they work while it has the focus. */

const STEP_PX = 40;
const ZOOM = 1.25;
/** @type {Record<string, {right: number, down: number}>} */
const ARROWS = {
  ArrowLeft: { right: -1, down: 0 }, ArrowRight: { right: 1, down: 0 }, ArrowUp: { right: 0, down: -1 }, ArrowDown: { right: 0, down: 1 },
};
/** @type {Record<string, (does: import("./picture.js").Does) => void>} */
const KEYS = {
  i: (does) => does.invert(), "=": (does) => does.fit(), 1: (does) => does.one(), "+": (does) => does.zoom(ZOOM),
  "-": (does) => does.zoom(1 / ZOOM), c: (does) => does.compare(), "?": (does) => does.keys(),
};

/**
 * Listeners for an element; Space alone resets, Space with a drag has moved the picture.
 * @param {{current: {does: import("./picture.js").Does, space: {isHeld: boolean, isUsed: boolean}}}} now
 */
export function keysOf(now) {
  return {
    onKeyDown: (/** @type {KeyboardEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { does, space } = now.current;
      const arrow = ARROWS[event.key];
      const work = KEYS[event.key.toLowerCase()];
      if (event.key === " ") space.isHeld ||= !(space.isUsed = false);
      else if (arrow && event.shiftKey) does.drag({ right: arrow.right * STEP_PX / 4, down: arrow.down * STEP_PX / 4 });
      else if (arrow) does.pan({ right: -arrow.right * STEP_PX, down: -arrow.down * STEP_PX });
      else if (work) work(does);
      else return;
      event.preventDefault();
    },
    onKeyUp: (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== " ") return;
      const { does, space } = now.current;
      if (space.isHeld && !space.isUsed) does.reset();
      space.isHeld = false;
    },
    onBlur: () => {
      now.current.space.isHeld = false;
    },
  };
}
