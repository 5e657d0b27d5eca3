/** The page: notice, header, one place at a time; and what is dropped or pasted anywhere on it. */

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { request } from "./api.js";
import { showAgain, take } from "./film.js";
import { close, open, signIn } from "./session.js";
import { announce, clearAll, get, isHere, onChange, set, setTheme, shownTheme, watchStatus } from "./state.js";
import { FileButton, html, Icon, Menu, visible } from "./view.js";
import { words } from "./words.js";

/** @typedef {import("./state.js").State} State */

/** @param {{state: State}} props */
function App({ state }) {
  useEffect(() => {
    document.documentElement.dataset.theme = shownTheme();
  }, [state.theme]);
  const study = useLater(Boolean(state.sending || state.refused || state.radiograph || state.dialog), () => import("./study.js"));
  const folder = useLater(state.place === "folder" || state.folder.run !== null, () => import("./folder.js"));
  const about = useLater(state.place === "about", () => import("./about.js"));
  const sign = useLater(state.door === "password", () => import("./sign_in.js"));
  return html`
    <button type="button" class="skip" onClick=${() => document.getElementById("question")?.focus()}>${words.skip}</button>
    <${Notices} status=${state.status} />
    <${Header} state=${state} />
    <main tabindex=${state.place === "about" ? 0 : undefined}>${state.door === "open" ? place(state, study, about, folder) : door(state, sign)}</main>
    <div class="unseen" aria-live="polite">${visible(state.announced)}</div>
    ${study && html`<${study.Dialogs} state=${state} />`}
    <${DropTarget} />
  `;
}

/** @param {State} state @param {any} study @param {any} about @param {any} folder */
function place(state, study, about, folder) {
  if (state.place === "about") return about && html`<${about.About} status=${state.status} />`;
  if (state.status?.model.state === "failed") return html`<${Broken} error=${state.status.model.error} />`;
  if (state.place === "folder") return folder && html`<${folder.Folder} state=${state} />`;
  if (state.refused) return study && html`<${study.Refused} refused=${state.refused} film=${state.radiograph} />`;
  if (state.radiograph) {
    return html`${state.sending && html`<${Sending} sending=${state.sending} />`}
      ${study && html`<${study.Study} state=${state} key=${state.radiograph.id} />`}`;
  }
  return html`<${Start} state=${state} />`;
}

/**
 * A part of the page that is fetched when it is first wanted, so that the door opens at once.
 * @param {boolean} isWanted @param {() => Promise<any>} load
 */
function useLater(isWanted, load) {
  const [part, setPart] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (isWanted) load().then((found) => setPart(found));
  }, [isWanted]);
  return part;
}

/** @param {{status: any}} props  The notice, before it the demonstration's own. */
function Notices({ status }) {
  const demo = status?.notice.replace(words.notice, "").trim();
  return html`<aside class="notices" aria-label=${words.noticeLabel}>
    ${demo && html`<p class="notice demo">${demo}</p>`}
    <p class="notice">${words.notice}</p>
  </aside>`;
}

/** @param {{state: State}} props */
function Header({ state }) {
  return html`<header class="top">
    <h1 class="brand"><${Icon} name="film" />${words.name}</h1>
    ${state.door === "open" &&
    html`<nav aria-label=${words.placesLabel}>
      ${["radiograph", "folder", "about"].map(
        (each) => html`<button type="button" key=${each} aria-current=${state.place === each ? "page" : undefined}
          onClick=${() => set({ place: /** @type {any} */ (each) })}>${words.places[/** @type {"about"} */ (each)]}</button>`,
      )}
    </nav>`}
    <${Condition} state=${state} />
    ${state.radiograph && state.place === "radiograph" && html`<${FileButton} label=${words.drop.another} look="quiet" onFiles=${take} />`}
    <button type="button" class="quiet" onClick=${() => setTheme(shownTheme() === "dark" ? "light" : "dark")}
      aria-label=${shownTheme() === "dark" ? words.theme.toLight : words.theme.toDark}><${Icon} name="theme" /></button>
    ${state.door === "open" && html`<${ServerMenu} />`}
  </header>`;
}

/** @param {{state: State}} props  The state of the server in one line. */
function Condition({ state }) {
  const [kind, said] = condition(state);
  return html`<p class=${`condition ${kind}`} role="status"><span class="dot" aria-hidden="true"></span>${said}</p>`;
}

/** @param {State} state @returns {[string, string]} */
function condition(state) {
  const { model } = words;
  if (state.door === "ended") return ["bad", model.ended];
  if (state.door !== "open") return ["", ""];
  if (!state.reachable) return ["bad", model.lost];
  if (!state.status) return ["busy", model.connecting];
  if (state.status.model.state === "failed") return ["bad", model.failed];
  if (state.status.model.state !== "ready") return ["busy", state.status.model.restarts ? model.restarted : model.loading];
  const kind = state.turns.at(-1)?.kind;
  if (kind === "coming") return ["busy", model.busyHere];
  if (state.folder.run?.state === "going") return ["busy", model.folder];
  const { waiting, busy } = state.status.queue;
  if (waiting) return ["busy", model.waiting(waiting)];
  if (busy && !kind) return ["busy", model.busyElsewhere];
  return ["ready", state.restarted ? model.restarted : model.ready];
}

/** @param {State} state @param {any} sign */
function door(state, sign) {
  if (state.door !== "password") return html`<${Door} door=${state.door} />`;
  return sign && html`<${sign.SignIn} enter=${(/** @type {string} */ password) => signIn(password).then(enterOpen)} />`;
}

/** @param {{door: State["door"]}} props  What stands there without a session. */
function Door({ door }) {
  if (door === "opening") return html`<p class="alone" role="status">${words.model.connecting}</p>`;
  const said = door === "ended" ? words.gone : words.door;
  return html`<section class="alone">
    <h2>${said.title}</h2>
    <p>${door === "used" ? words.door.used : said.text}</p>
    ${door !== "ended" && html`<button type="button" class="main" onClick=${enter}>${words.door.again}</button>`}
  </section>`;
}

/** @param {{error: {code: string, message: string}}} props  The model cannot answer, and what to do about it. */
function Broken({ error }) {
  return html`<section class="refused" role="alert" aria-labelledby="broken">
    <h2 id="broken"><${Icon} name="warn" />${words.model.failed}</h2>
    <p class="reason">${visible(error.message)}</p>
    <p class="soft">${error.code}</p>
  </section>`;
}

/** @param {{state: State}} props  Before the first radiograph. */
function Start({ state }) {
  return html`<section class="start" aria-labelledby="start">
    ${state.sending ? html`<${Sending} sending=${state.sending} />` : html`
    <div class="target">
      <${Icon} name="film" />
      <h2 id="start">${words.drop.title}</h2>
      <p><${FileButton} label=${words.drop.choose} onFiles=${take} /> <span class="soft">${words.drop.paste}</span></p>
      <p class="soft">${isHere() ? words.drop.text : words.drop.textWard}</p>
    </div>`}
    ${state.remark && html`<p class="remark">${state.remark}</p>`}
  </section>`;
}

/** @param {{sending: import("./state.js").Sending}} props */
function Sending({ sending }) {
  const { file, sent, stop } = sending;
  const isSent = sent >= file.size;
  const cancel = () => {
    set({ sending: null });
    stop.abort();
  };
  return html`<div class="sending">
    <p role="status">${isSent ? words.drop.reading : words.drop.sending(words.bytes(sent), words.bytes(file.size))}</p>
    <progress aria-label=${words.drop.progress} max=${file.size} value=${isSent ? undefined : sent}></progress>
    <button type="button" onClick=${cancel}>${words.drop.cancel}</button>
  </div>`;
}

/** What concerns the whole server or this browser. */
function ServerMenu() {
  const items = /** @type {[string, () => any][]} */ ([
    [words.menu.other, newCode],
    [words.menu.print, () => window.print()],
    ...(isHere()
      ? [[words.menu.forgetAll, forgetAll], [words.menu.quit, () => set({ dialog: { kind: "quit", go: quit } })]]
      : [[words.menu.signOut, signOut]]),
  ]);
  return html`<${Menu} look="quiet" label=${words.more} items=${items}><${Icon} name="more" /><//>`;
}

/** The whole page takes what is dropped; while something is over it, it says so. */
function DropTarget() {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const over = (/** @type {DragEvent} */ event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setOver(true);
    };
    const left = (/** @type {DragEvent} */ event) => event.relatedTarget === null && setOver(false);
    const dropped = (/** @type {DragEvent} */ event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setOver(false);
      if (get().door === "open") take(droppedIn(event.dataTransfer));
    };
    const pasted = (/** @type {ClipboardEvent} */ event) => {
      if (get().door === "open" && event.clipboardData?.files.length) take([...event.clipboardData.files]);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", left);
    addEventListener("drop", dropped);
    addEventListener("paste", pasted);
  }, []);
  return isOver && html`<div class="over" aria-hidden="true"><p>${words.drop.anywhere}</p></div>`;
}

/** @param {DataTransfer} moved @returns {(FileSystemEntry | File)[]}  To be called before the event is over. */
function droppedIn(moved) {
  const entries = [...moved.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  return /** @type {(FileSystemEntry | File)[]} */ (entries.filter(Boolean));
}

async function newCode() {
  const { code } = await (await request("POST", "session/code")).json();
  set({ dialog: { kind: "code", link: `${location.origin}/#c=${code}` } });
}

async function forgetAll() {
  await request("DELETE", "session").catch(() => null);
  clearAll();
  announce(words.menu.forgotten);
}

async function signOut() {
  await request("DELETE", "session").catch(() => null);
  close();
  clearAll();
  set({ door: "password", dialog: null });
}

async function quit() {
  await request("POST", "quit").catch(() => null);
  close();
  clearAll();
  set({ door: "ended", dialog: null });
}

async function enter() {
  set({ door: "opening" });
  const door = await open();
  if (door === "open") await enterOpen();
  else set({ door });
}

async function enterOpen() {
  set({ door: "open" });
  watchStatus();
  await showAgain();
  if (sessionStorage.getItem("run")) await (await import("./run.js")).showRunAgain();
}

addEventListener("beforeunload", (event) => {
  const { turns, folder } = get();
  const isSending = folder.run?.state === "going" && folder.rows.some((row) => row.state === "unsent") && folder.found.length > 0;
  if (isSending || ["asked", "queued", "coming"].includes(turns.at(-1)?.kind ?? "")) event.preventDefault();
});
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => {
  document.documentElement.dataset.theme = shownTheme();
  set({});
});
document.documentElement.dataset.theme = shownTheme();
onChange((state) => render(html`<${App} state=${state} />`, /** @type {Element} */ (document.getElementById("page"))));
enter();
