/** Where people sign in to a ward's server. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Refusal } from "./api.js";
import { html, visible } from "./view.js";
import { words } from "./words.js";

const said = words.signIn;

/** @param {{enter: (password: string) => Promise<void>}} props */
export function SignIn({ enter }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [trouble, setTrouble] = useState("");
  const [isChecking, setChecking] = useState(false);
  useEffect(() => field.current?.focus(), []);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!field.current || isChecking) return;
    setChecking(true);
    setTrouble("");
    try {
      await enter(field.current.value);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setTrouble(error.message || said.lost);
      setChecking(false);
      field.current?.select();
    }
  };
  return html`<form class="alone" aria-labelledby="sign-in" onSubmit=${submit}>
    <h2 id="sign-in">${said.title}</h2>
    <p>${said.text}</p>
    <p class="row"><label for="password">${said.password}</label>
      <input id="password" type="password" autocomplete="off" required ref=${field} /></p>
    ${trouble && html`<p class="remark reason" role="alert">${visible(trouble)}</p>`}
    <button type="submit" class="main" disabled=${isChecking}>${isChecking ? said.checking : said.go}</button>
  </form>`;
}
