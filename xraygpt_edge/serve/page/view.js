/** What every part of the page is drawn with. */

import { h } from "preact";
import { useEffect, useRef } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);

/** Characters that nobody sees, or that turn the direction of others; texts of files and models are shown without. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Zl}\p{Zp}]/gu;

/**
 * Text from outside as a person may see it: line ends stay, what is invisible goes.
 * @param {unknown} text
 */
export function visible(text) {
  return String(text ?? "").replace(/\r\n?/g, "\n").replace(HIDDEN, (found) => (found === "\n" || found === "\t" ? found : ""));
}

/** @param {{name: string}} props  A small drawn sign; it says nothing to a screen reader. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false"><path d=${ICONS[name]} /></svg>`;
}

/**
 * A button that lets a person choose files, or a folder.
 * @param {{label: string, look?: string, folder?: boolean, onFiles: (files: File[]) => void}} props
 */
export function FileButton({ label, look = "main", folder = false, onFiles }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const chosen = (/** @type {any} */ event) => {
    const files = [...event.currentTarget.files];
    event.currentTarget.value = "";
    onFiles(files);
  };
  return html`<button type="button" class=${look} onClick=${() => input.current?.click()}>${label}</button>
    <input ref=${input} type="file" multiple webkitdirectory=${folder} hidden onChange=${chosen} />`;
}

/**
 * A list of things to do behind a button; it closes with a choice, with Escape, and when somebody goes on elsewhere.
 * @param {{look?: string, label?: string, children: any, items: [string, () => any][]}} props
 */
export function Menu({ look = "", label, children, items }) {
  const box = useRef(/** @type {any} */ (null));
  const close = () => {
    box.current.open = false;
  };
  const back = () => {
    close();
    box.current.querySelector("summary").focus();
  };
  useEffect(() => {
    const elsewhere = (/** @type {Event} */ event) => box.current.contains(event.target) || close();
    for (const kind of ["pointerdown", "focusin"]) addEventListener(kind, elsewhere);
    return () => {
      for (const kind of ["pointerdown", "focusin"]) removeEventListener(kind, elsewhere);
    };
  }, []);
  return html`<details class="menu" ref=${box} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && back()}>
    <summary class=${look} aria-label=${label}>${children}</summary>
    <ul>${items.map(([said, work]) => html`<li key=${said}><button type="button" onClick=${() => {
      back();
      work();
    }}>${said}</button></li>`)}</ul></details>`;
}

/** @type {Record<string, string>} */
const ICONS = {
  invert: "M10 3a7 7 0 1 0 0 14a7 7 0 1 0 0-14M10 3v14M10 6h5M10 9h6.500M10 12h6.500M10 15h4",
  fit: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4",
  one: "M5 6l2-1.500V15M13 6l2-1.500V15M10.500 8v.1M10.500 12v.1",
  reset: "M4 10a6 6 0 1 0 2-4.500M4 3v4h4",
  compare: "M3 4h6v12H3zM11 4h6v12h-6z",
  keys: "M7.500 7.500a2.500 2.500 0 1 1 3.500 2.300c-.8.4-1 .9-1 1.700M10 14.500v.1",
  copy: "M7 7h9v10H7zM13 7V3H4v10h3",
  save: "M10 3v9M6.500 9l3.500 3.500L13.500 9M4 16.500h12",
  more: "M5 10h.1M10 10h.1M15 10h.1",
  film: "M4 3h12v14H4zM10 5.500v9M8.500 7C6.500 8 6 11 6.500 13M11.500 7c2 1 2.500 4 2 6",
  warn: "M10 3.500L17.500 16.500h-15zM10 8.500v3.500M10 14.300v.1",
  ok: "M4.500 10.500l3.500 3.500 7.500-8",
  theme: "M13.500 11.500A6 6 0 1 1 8.500 3.500a5 5 0 0 0 5 8z",
  forget: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.600L14 6",
  folder: "M2.500 5h5l1.500 2h8.500v9h-15z",
  wait: "M10 10h.1",
  busy: "M10 4v3M10 13v3M4 10h3M13 10h3",
  check: "M5 10.500l3.300 3.300L15 7",
  hand: "M10 3v14M3 10h14M10 3L8 5M10 3l2 2M10 17l-2-2M10 17l2-2M3 10l2-2M3 10l2 2M17 10l-2-2M17 10l-2 2",
};
