/** Questions and answers about one radiograph. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Answer } from "./answer.js";
import { Explained } from "./doubts.js";
import { ask, askAgain, draw, fresh, isUnderWay, stop } from "./turns.js";
import { html, visible } from "./view.js";
import { words } from "./words.js";

const NEAR_END_PX = 80;

/** @param {{state: import("./state.js").State}} props  While another radiograph comes, nothing is asked about this one. */
export function Conversation({ state }) {
  const { turns, status, radiograph } = state;
  const isBusy = isUnderWay();
  const isHeld = state.sending !== null;
  const usual = html`<${Usual} groups=${grouped(status?.questions ?? [])} indicated=${status?.questions_with_indication ?? []} isHeld=${isHeld} />`;
  const list = useFollowed(turns);
  return html`<section class="conversation" aria-labelledby="conversation">
    <div class="heading"><h2 id="conversation">${words.ask.heading}</h2>
      ${turns.length > 0 && html`<button type="button" class="quiet" disabled=${isBusy} onClick=${fresh}>${words.ask.fresh}</button>`}</div>
    <div class="turns" ref=${list} tabindex="0" role="region" aria-label=${words.ask.turns}>
      ${turns.map((turn, index) => html`<${OneTurn} key=${index} turn=${turn} film=${radiograph} hasMaps=${status?.maps} canRepeat=${!isHeld && index === turns.length - 1} />`)}
      ${turns.length ? !isBusy && html`<details class="usual"><summary>${words.ask.usual}</summary>${usual}</details>`
        : html`<div class="usual"><h3>${words.ask.usual}</h3>${usual}</div>`}
    </div>
    <${Field} isBusy=${isBusy} isHeld=${isHeld} isFirst=${turns.length === 0} />
  </section>`;
}

/**
 * A list that stays at its end while words come, unless somebody reads further up.
 * @param {import("./state.js").Turn[]} turns
 */
function useFollowed(turns) {
  const list = useRef(/** @type {any} */ (null));
  const isAtEnd = useRef(true);
  useEffect(() => {
    const box = list.current;
    const seen = () => (isAtEnd.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX);
    box.addEventListener("scroll", seen, { passive: true });
    return () => box.removeEventListener("scroll", seen);
  }, []);
  useEffect(() => {
    isAtEnd.current = true;
    if (turns.length) list.current.querySelector(".turn:last-of-type").scrollIntoView({ block: "nearest" });
  }, [turns.length]);
  useEffect(() => {
    if (isAtEnd.current && turns.length) list.current.scrollTop = list.current.scrollHeight;
  }, [turns]);
  return list;
}

/** @param {{group: string, text: string}[]} questions */
const grouped = (questions) => [...Map.groupBy(questions, (each) => each.group)];

/**
 * The questions that the model was trained with: one click asks.
 * @param {{groups: [string, {text: string}[]][], indicated: {name: string, text: string}[], isHeld: boolean}} props
 */
function Usual({ groups, indicated, isHeld }) {
  return html`${groups.map(([name, questions]) => html`<div class="group" key=${name} role="group" aria-label=${name}>
    <span class="name">${visible(name)}</span>
    <ul>${questions.map(({ text }) => html`<li key=${text}><button type="button" disabled=${isHeld} onClick=${() => ask(text)}>${visible(text)}</button></li>`)}</ul>
  </div>`)}${indicated.length > 0 && html`<${Indicated} questions=${indicated} isHeld=${isHeld} />`}`;
}

/** @param {{questions: {name: string, text: string}[], isHeld: boolean}} props  Those that are asked with the reason for the exam in them. */
function Indicated({ questions, isHeld }) {
  const field = useRef(/** @type {any} */ (null));
  const [indication, setIndication] = useState("");
  const given = indication.trim();
  const send = (/** @type {{name: string, text: string}} */ { name, text }) => {
    if (given) ask(filled(text, given), { question: `@${name}`, indication: given });
    else field.current?.focus();
  };
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    send(questions[0]);
  };
  return html`<form class="group" onSubmit=${submit}>
    <label class="name" for="indication">${words.ask.indication}</label>
    <input id="indication" ref=${field} value=${indication} disabled=${isHeld} spellcheck=${false} autocomplete="off" autocorrect="off" autocapitalize="off" translate="no"
      onInput=${(/** @type {any} */ event) => setIndication(event.currentTarget.value)} />
    <ul>${questions.map((each) => html`<li key=${each.name}><button type="button" disabled=${isHeld} onClick=${() => send(each)}>${visible(filled(each.text, given || "…"))}</button></li>`)}</ul>
  </form>`;
}

/** @param {string} text @param {string} indication */
const filled = (text, indication) => text.replaceAll("{indication}", () => indication);

/** @param {{turn: import("./state.js").Turn, film: any, hasMaps: boolean, canRepeat: boolean}} props */
function OneTurn({ turn, film, hasMaps, canRepeat }) {
  const maps = hasMaps ? { note: turn.note, isDrawing: turn.isDrawing ?? false, draw: () => draw(turn) } : null;
  return html`<article class="turn">
    <h3 class="question"><span class="unseen">${words.ask.question}: </span>${visible(turn.question)}</h3>
    ${turn.kind === "done" ? html`<${Answer} answer=${turn.answer} film=${film} maps=${maps} />` : html`<${Coming} turn=${turn} canRepeat=${canRepeat} />`}
  </article>`;
}

/** @param {{turn: import("./state.js").Turn, canRepeat: boolean}} props  An answer that is not complete, or never will be. */
function Coming({ turn, canRepeat }) {
  const isFailed = turn.kind === "failed";
  return html`<div class=${`coming${isFailed ? " failed" : ""}`}>
    ${turn.text && html`<p class="said" translate="no">${visible(turn.text)}</p>`}
    ${turn.note && html`<p class="note" role=${isFailed ? "alert" : "status"}>${visible(turn.note)}${turn.trouble?.id && html` <${Explained} id=${turn.trouble.id} />`}</p>`}
    ${isFailed && canRepeat && html`<button type="button" onClick=${() => askAgain(turn)}>${words.ask.askAgain}</button>`}
  </div>`;
}

/** @param {{isBusy: boolean, isHeld: boolean, isFirst: boolean}} props  A question of one's own, and Stop. */
function Field({ isBusy, isHeld, isFirst }) {
  const [question, setQuestion] = useState("");
  const send = () => {
    if (!question.trim() || isBusy) return;
    ask(question.trim());
    setQuestion("");
  };
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    send();
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    send();
  };
  return html`<form class="field" onSubmit=${submit}>
    <label for="question">${words.ask.own}</label>
    <textarea id="question" rows="2" value=${question} disabled=${isHeld} placeholder=${isFirst ? words.ask.placeholder : words.ask.follow} aria-describedby="enter-hint"
      spellcheck=${false} autocomplete="off" autocorrect="off" autocapitalize="off" translate="no" data-gramm="false"
      onInput=${(/** @type {any} */ event) => setQuestion(event.currentTarget.value)} onKeyDown=${key}></textarea>
    ${isBusy ? html`<button type="button" key="stop" class="stop" onClick=${stop}>${words.ask.stop}</button>`
      : html`<button type="submit" key="ask" class="main" disabled=${isHeld} aria-disabled=${!question.trim()}>${words.ask.send}</button>`}
    <span id="enter-hint" class="soft">${words.ask.hint}</span>
  </form>`;
}
