/** What is said in between, in a window of the browser's own that gives the focus back where it was. */

import { useEffect, useRef, useState } from "preact/hooks";
import { set } from "./state.js";
import { html, visible } from "./view.js";
import { words } from "./words.js";

const said = words.dialog;
const KINDS = { explain: Explain, keys: Keys, code: Code, quit: Quit, several: Several };

/** @param {{state: import("./state.js").State}} props */
export function Dialogs({ state: { dialog } }) {
  const box = useRef(/** @type {any} */ (null));
  useEffect(() => {
    if (dialog) box.current?.showModal();
  }, [dialog]);
  if (!dialog) return null;
  const Kind = KINDS[/** @type {keyof typeof KINDS} */ (dialog.kind)];
  const close = () => set({ dialog: null });
  return html`<dialog ref=${box} aria-labelledby="dialog-title" onClose=${close}
    onClick=${(/** @type {MouseEvent} */ event) => event.target === box.current && box.current.close()}>
    <div class="inside"><${Kind} ...${dialog} onClose=${() => box.current.close()} /></div>
  </dialog>`;
}

/** @param {{title: string, children?: any, onClose: () => void}} props */
function Frame({ title, children, onClose }) {
  return html`<h2 id="dialog-title" tabindex="-1">${title}</h2>${children}
    <p class="row end"><button type="button" onClick=${onClose}>${said.close}</button></p>`;
}

/** @param {{entry: any, onClose: () => void}} props */
function Explain({ entry, onClose }) {
  const parts = /** @type {[string, string][]} */ ([[said.meaning, entry.meaning], [said.fix, entry.fix], [said.safe, entry.safe]]);
  return html`<${Frame} title=${`${entry.id}: ${visible(entry.what)}`} onClose=${onClose}>
    ${parts.filter(([, text]) => text).map(([title, text]) => html`<h3 key=${title}>${title}</h3><p>${visible(text)}</p>`)}
  </${Frame}>`;
}

/** @param {{onClose: () => void}} props */
function Keys({ onClose }) {
  return html`<${Frame} title=${words.keysTitle} onClose=${onClose}>
    <p class="soft">${words.keysNote}</p>
    <dl class="keys">${words.keyList.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl>
  </${Frame}>`;
}

/** @param {{link: string, onClose: () => void}} props  A link that works once. */
function Code({ link, onClose }) {
  const [isCopied, setCopied] = useState(false);
  return html`<${Frame} title=${said.codeTitle} onClose=${onClose}>
    <p>${said.codeText}</p>
    <p class="row"><input readonly value=${link} aria-label=${said.codeTitle} onFocus=${(/** @type {any} */ event) => event.currentTarget.select()} />
      <button type="button" class="main" onClick=${() => navigator.clipboard.writeText(link).then(() => setCopied(true), () => {})}>${isCopied ? said.codeCopied : said.codeCopy}</button></p>
  </${Frame}>`;
}

/** @param {{go: () => void, onClose: () => void}} props */
function Quit({ go, onClose }) {
  return html`<h2 id="dialog-title" tabindex="-1">${said.quitTitle}</h2><p>${said.quitText}</p>
    <p class="row end"><button type="button" onClick=${onClose}>${said.stay}</button><button type="button" class="stop" onClick=${go}>${said.quitGo}</button></p>`;
}

/** @param {{n: number, go: () => void, onClose: () => void}} props  Several files, or a folder. */
function Several({ n, go, onClose }) {
  const yes = () => {
    onClose();
    go();
  };
  return html`<h2 id="dialog-title" tabindex="-1">${n > 1 ? words.folder.severalTitle(n) : words.folder.folderTitle}</h2><p>${words.folder.severalText}</p>
    <p class="row end"><button type="button" onClick=${onClose}>${words.folder.cancel}</button><button type="button" class="main" onClick=${yes}>${words.folder.look}</button></p>`;
}
