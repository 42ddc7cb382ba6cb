/* Tells whoever hears the page what happens, in few words and not too often. */

import { setText } from "./elements.js";

const APART_MS = 3_000;
const AT_ONCE = 3;

const node = document.getElementById("announcer");
let waiting = [];
let timer = null;

/** Say something soon; what came meanwhile is said together, the newest of it only. */
export function announce(text) {
  waiting.push(text);
  if (timer !== null) return;
  say();
  timer = setInterval(() => {
    if (waiting.length) say();
    else {
      clearInterval(timer);
      timer = null;
    }
  }, APART_MS);
}

function say() {
  const left = waiting.length - AT_ONCE;
  const newest = waiting.slice(-AT_ONCE).join(". ");
  waiting = [];
  setText(node, left > 0 ? `${left} earlier. ${newest}` : newest);
}
