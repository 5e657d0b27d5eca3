/** A radiograph and what is asked about it, side by side. */

import { Conversation } from "./conversation.js";
import { Doubts } from "./doubts.js";
import { Picture } from "./picture.js";
import { html } from "./view.js";

export { Dialogs } from "./dialogs.js";
export { Refused } from "./doubts.js";

/** @param {{state: import("./state.js").State}} props */
export function Study({ state }) {
  return html`<div class="study">
    <${Picture} film=${state.radiograph} />
    <div class="talk">
      <${Doubts} input=${state.radiograph.input} />
      <${Conversation} state=${state} />
    </div>
  </div>`;
}
