/** A whole folder: what is in it, what is asked, and what becomes of it. */

import { useEffect, useState } from "preact/hooks";
import { json } from "./api.js";
import { forgetRun, list, showRun, start, steer, stop } from "./run.js";
import { announce, get, leaveFolder, set } from "./state.js";
import { Table } from "./table.js";
import { exportRun, RUN_FORMATS } from "./taking.js";
import { FileButton, html, Icon, Menu, visible } from "./view.js";
import { words } from "./words.js";

const said = words.folder;
const PROFILES = /** @type {const} */ (["mimic-jpg", "display"]);
const SHOWN = 200;

/** @param {{state: import("./state.js").State}} props */
export function Folder({ state }) {
  const { folder, status } = state;
  if (!status) return null;
  return html`<div class="folder">
    <h2>${said.title}</h2>
    ${folder.remark && html`<p class="remark" role="status">${visible(folder.remark)}</p>`}
    ${folder.stage === "empty" && html`<${Choose} status=${status} /><${Earlier} />`}
    ${folder.stage === "looking" && html`<p role="status">${said.looking}</p>`}
    ${folder.stage === "listed" && html`<${Prepare} folder=${folder} status=${status} />`}
    ${folder.stage === "running" && html`<${Going} folder=${folder} status=${status} /><${Table} folder=${folder} />`}
  </div>`;
}

/** @param {{status: any}} props */
function Choose({ status }) {
  return html`<div class="target">
    <${Icon} name="folder" />
    <h3>${said.drop}</h3>
    <p class="row"><${FileButton} label=${said.choose} folder onFiles=${list} /><${FileButton} label=${said.chooseFiles} look="" onFiles=${list} /></p>
    <p class="soft">${status.folder.keeps ? said.keeps : said.keepsNot}</p>
  </div>`;
}

/** Runs that the server has. */
function Earlier() {
  const [runs, setRuns] = useState(/** @type {any[]} */ ([]));
  const read = () => json("GET", "runs").then((found) => setRuns(found.runs), () => {});
  useEffect(() => void read(), []);
  if (!runs.length) return null;
  return html`<section class="card" aria-labelledby="earlier"><h3 id="earlier">${said.earlier}</h3>
    <ul class="runs">${runs.toReversed().map((run) => html`<li key=${run.id}>
      <span>${said.done(ended(run), run.files)}<span class="soft"> ${visible(run.questions.join(" · "))}</span></span>
      <span class="row"><button type="button" onClick=${() => showRun(run.id)}>${said.show}</button>
      <button type="button" class="quiet danger" onClick=${() => forgetRun(run.id).then(read)}>${said.forget}</button></span></li>`)}</ul>
  </section>`;
}

/** @param {any} run */
const ended = ({ counts }) => (counts.ok ?? 0) + (counts.failed ?? 0) + (counts["left out"] ?? 0);

/** @param {{folder: import("./run.js").Folder, status: any}} props  Before the start. */
function Prepare({ folder, status }) {
  const [questions, setQuestions] = useState([status.folder.question]);
  const [profile, setProfile] = useState(status.defaults.profile);
  const [isStarting, setStarting] = useState(false);
  const go = () => {
    setStarting(true);
    start(questions, profile).finally(() => setStarting(false));
  };
  return html`<div class="prepare">
    <section class="card" aria-labelledby="inside"><h3 id="inside">${said.inside}</h3>
      <p class="large">${said.films(folder.found.length)}</p>
      <${Names} label=${said.names} names=${folder.found.map(({ path }) => [path, ""])} />
      ${folder.leftOut.length > 0 && html`<p>${said.leftOut(folder.leftOut.length)}</p>
        <ul class="reasons">${[...Map.groupBy(folder.leftOut, ({ reason }) => reason)].map(([reason, some]) =>
          html`<li key=${reason}><b>${some.length}</b> ${visible(said.reasons[/** @type {"hidden"} */ (reason)] ?? reason)}</li>`)}</ul>
        <${Names} label=${said.leftOutNames} names=${folder.leftOut.map(({ path, reason }) => [path, reason])} />`}
    </section>
    <section class="card" aria-labelledby="asked"><h3 id="asked">${said.asked}</h3>
      <${Questions} questions=${questions} setQuestions=${setQuestions} usual=${status.questions} />
      <p class="row"><label for="profile">${said.profile}</label>
        <select id="profile" value=${profile} onChange=${(/** @type {any} */ event) => setProfile(event.currentTarget.value)}>
          ${PROFILES.map((each) => html`<option key=${each} value=${each} selected=${each === profile}>${words.compare.profiles[each]}</option>`)}</select></p>
      <${Command} folder=${folder} questions=${questions} profile=${profile} status=${status} />
      <p class="row end"><button type="button" onClick=${leaveFolder}>${said.cancel}</button>
        <button type="button" class="main" disabled=${!questions.length || isStarting} onClick=${go}>${said.start(folder.found.length)}</button></p>
    </section>
  </div>`;
}

/** @param {{label: string, names: [string, string][]}} props  Names, folded; of very many, the first. */
function Names({ label, names }) {
  return html`<details class="names"><summary>${label}</summary>
    <div tabindex="0" role="region" aria-label=${label}><ul>${names.slice(0, SHOWN).map(([path, more]) => html`<li key=${path}>${visible(path)} ${more && html`<span class="soft">${visible(more)}</span>`}</li>`)}
      ${names.length > SHOWN && html`<li class="soft">${said.more(names.length - SHOWN)}</li>`}</ul></div></details>`;
}

/** @param {{questions: string[], setQuestions: (questions: string[]) => void, usual: {text: string}[]}} props */
function Questions({ questions, setQuestions, usual }) {
  const [own, setOwn] = useState("");
  const add = (/** @type {string} */ question) => question && !questions.includes(question) && setQuestions([...questions, question]);
  const addOwn = (/** @type {Event} */ event) => {
    event.preventDefault();
    add(own.trim());
    setOwn("");
  };
  const choose = (/** @type {any} */ event) => {
    add(event.currentTarget.value);
    event.currentTarget.value = "";
  };
  return html`<ol class="questions" aria-label=${said.asked}>${questions.map((each) => html`<li key=${each}><span>${visible(each)}</span>
      <button type="button" class="quiet danger" aria-label=${said.removed(each)} onClick=${() => setQuestions(questions.filter((other) => other !== each))}><${Icon} name="forget" /></button></li>`)}</ol>
    ${!questions.length && html`<p class="remark">${said.noQuestion}</p>`}
    <label class="unseen" for="usual-question">${said.usual}</label>
    <select id="usual-question" value="" onChange=${choose}>
      <option value="">${said.usual}</option>
      ${usual.filter(({ text }) => !questions.includes(text)).map(({ text }) => html`<option key=${text} value=${text}>${visible(text)}</option>`)}</select>
    <form class="row" onSubmit=${addOwn}><label class="unseen" for="own-question">${said.own}</label>
      <input id="own-question" value=${own} placeholder=${said.own} spellcheck=${false} autocomplete="off" autocorrect="off" autocapitalize="off" translate="no"
        onInput=${(/** @type {any} */ event) => setOwn(event.currentTarget.value)} /><button type="submit" aria-disabled=${!own.trim()}>${said.add}</button></form>`;
}

/** @param {{folder: import("./run.js").Folder, questions: string[], profile: string, status: any}} props */
function Command({ folder, questions, profile, status }) {
  const [told, setTold] = useState("");
  const line = command(folder, questions, profile, status);
  const copy = () => navigator.clipboard.writeText(line).then(() => setTold(words.dialog.codeCopied), () => setTold(words.answer.notCopied));
  return html`<details class="command"><summary>${said.command}</summary>
    <pre tabindex="0" role="region" aria-label=${said.command}>${line}</pre>
    <p class="row"><button type="button" onClick=${copy}>${words.answer.copy}</button><span class="told" role="status">${told}</span></p></details>`;
}

/** @param {import("./run.js").Folder} folder @param {string[]} questions @param {string} profile @param {any} status @returns {string} */
function command({ found }, questions, profile, { defaults, folder, model }) {
  const top = found[0].path.includes("/") ? found[0].path.split("/")[0] : said.someFolder;
  const options = [
    ["bundle", model.id], ...questions.map((each) => ["question", each]), ["profile", profile], ["max-tokens", defaults.max_tokens], ["temperature", defaults.temperature],
    ["top-p", defaults.top_p], ["seed", defaults.seed], ["trust", defaults.trust], ["parallel", folder.parallel],
  ];
  const parts = options.map(([name, value]) => `--${name} ${quoted(String(value))}`);
  return [`xraygpt-edge batch ${quoted(visible(top))} --out answers`, ...parts].join(" \\\n  ");
}

/** @param {string} text  As a shell takes it whole. */
const quoted = (text) => (/^[\w.,/:@%+=-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** @param {import("./run.js").Folder} folder */
const isOver = ({ run, isStopped }) => run.state === "ended" || run.state === "gone" || isStopped;

/** @param {{folder: import("./run.js").Folder, status: any}} props  How far it is, and what can be done about it. */
function Going({ folder, status }) {
  const { run, rows, isStopped } = folder;
  const failed = rows.filter((row) => row.state === "failed").length;
  const left = run.counts["left out"] ?? 0;
  const ok = run.counts.ok ?? 0;
  const done = ok + failed + left;
  const isDone = isOver(folder);
  return html`<section class="card going" aria-labelledby="progress">
    <h3 id="progress">${said.done(done, run.files)}<span class="soft"> ${said.states[/** @type {"going"} */ (isStopped && run.state !== "ended" ? "stopped" : run.state)]}</span></h3>
    <progress aria-label=${said.progress} max=${run.files} value=${done}></progress>
    <p class="counts"><span>${said.ok(ok)}</span>${failed > 0 && html`<span class="bad">${said.failed(failed)}</span>`}
      ${left > 0 && html`<span>${said.leftOut(left)}</span>`}${run.known > 0 && html`<span>${said.known(run.known)}</span>`}
      ${!isDone && run.left_s !== null && run.state === "going" && html`<span>${said.left(run.left_s)}</span>`}</p>
    ${run.error && html`<p class="reason" role="alert">${visible(run.error.message)} <span class="soft">${run.error.code}</span></p>`}
    <div class="row">
      ${!isDone && (run.state === "going" ? html`<button type="button" onClick=${() => steer("pause")}>${said.pause}</button>`
        : html`<button type="button" class="main" onClick=${() => steer("resume")}>${said.resume}</button>`)}
      ${!isDone && html`<button type="button" class="stop" onClick=${stop}>${said.stop}</button>`}
      <${Taking} run=${run} isEmpty=${!done} />
      ${isDone && html`<button type="button" onClick=${leaveFolder}>${said.another}</button>
        <button type="button" class="quiet danger" onClick=${() => forgetRun(run.id)}>${said.forget}</button>`}
    </div>
    <p class="soft">${run.questions.map((/** @type {string} */ each) => visible(each)).join(" · ")} · ${run.profile} · ${status.folder.keeps ? said.kept : said.keptNot}</p>
  </section>`;
}

/** @param {{run: any, isEmpty: boolean}} props */
function Taking({ run, isEmpty }) {
  const [told, setTold] = useState("");
  const tell = (/** @type {string} */ what) => {
    setTold(what);
    announce(what);
  };
  if (isEmpty) return null;
  const take = (/** @type {typeof RUN_FORMATS[number]} */ format) =>
    exportRun(run.id, format).then(tell, (error) => tell(visible(`${error.id} ${error.message}`).trim() || words.ask.lost));
  return html`<${Menu} items=${RUN_FORMATS.map((format) => [said.formats[format], () => take(format)])}><${Icon} name="save" />${words.answer.save}<//>
    ${told && html`<span class="told">${told}</span>`}`;
}

/**
 * Take a folder or several files: where single films are looked at, it is asked once, since this is a longer matter.
 * @param {(FileSystemEntry | File)[]} given
 */
export function takeFolder(given) {
  if (get().folder.stage === "running" && !isOver(get().folder)) return set({ place: "folder", folder: { ...get().folder, remark: said.busy } });
  if (get().place === "folder") return list(given);
  set({ dialog: { kind: "several", n: given.length, go: () => list(given) } });
}
