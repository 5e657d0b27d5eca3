/** The computer, the model and what protects them, as the server says it. */

import { useEffect, useState } from "preact/hooks";
import { json } from "./api.js";
import { isHere } from "./state.js";
import { html, Icon, visible } from "./view.js";
import { words } from "./words.js";

const said = words.about;

/** @param {{status: any}} props */
export function About({ status }) {
  const [about, setAbout] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    json("GET", "about", { signal: stop.signal }).then(setAbout, () => {});
    return () => stop.abort();
  }, []);
  return html`<div class="about">
    <h2>${said.title}</h2>
    <section aria-labelledby="about-model"><h3 id="about-model">${said.model}</h3>
      <dl class="pairs">${about ? about.bundle.map(pair) : pair([said.model, status?.model.id])}</dl></section>
    <section aria-labelledby="about-protection"><h3 id="about-protection">${said.protections}</h3>
      <ul><li>${said.network[/** @type {"none"} */ (status?.protections.network ?? "none")]}</li><li>${isHere() ? said.loopback : said.ward}</li><li>${status?.folder.keeps ? said.keptRuns : said.kept}</li></ul></section>
    <section aria-labelledby="about-checks"><h3 id="about-checks">${said.checks}</h3>
      ${about ? html`<ul class="results">${about.checks.map(result)}</ul>` : html`<p role="status">${said.checking}</p>`}</section>
    <section aria-labelledby="about-limits"><h3 id="about-limits">${said.limits}</h3>
      <dl class="pairs">${status && [...Object.entries(status.defaults), ...Object.entries(status.limits)].map(([name, value]) => pair([said.names[/** @type {"seed"} */ (name)] ?? name, value]))}</dl></section>
    <section aria-labelledby="about-versions"><h3 id="about-versions">${said.versions}</h3>
      <dl class="pairs">${about?.versions.map(pair)}</dl></section>
  </div>`;
}

/** @param {[string, any]} props */
function pair([name, value]) {
  return html`<div key=${name}><dt>${visible(name)}</dt><dd>${visible(value ?? "–")}</dd></div>`;
}

/** @param {{name: string, state: string, found: string, fix: string}} check */
function result({ name, state, found, fix }) {
  return html`<li key=${name} class=${state}><${Icon} name=${state === "ok" ? "ok" : "warn"} /><span class="unseen">${said.states[/** @type {"ok"} */ (state)]}: </span>
    <div><b>${visible(name)}</b> ${visible(found)}${fix && html`<p>${visible(fix)}</p>`}</div></li>`;
}
