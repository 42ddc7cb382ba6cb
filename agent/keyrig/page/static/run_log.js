/* The lines of a run as they come; old ones make room. */

import { element } from "./elements.js";
import { lineOf } from "./event_words.js";
import { clockText, count } from "./times.js";

const KEPT = 500;
const NEAR_END_PX = 40;

export class RunLog {
  #dropped = 0;

  constructor() {
    this.note = element("p", { class: "small-print", hidden: true });
    this.list = element("ol", { class: "log" });
    this.box = element(
      "div",
      { class: "log-box", tabindex: "0", role: "region", "aria-label": "Steps" },
      this.note,
      this.list,
    );
  }

  /** Add events; what is read at the end stays at the end. */
  add(events) {
    const { box } = this;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX;
    const lines = events.map((event) => shown(event)).filter((line) => line !== null);
    this.list.append(...lines.slice(-KEPT));
    this.#dropped += Math.max(lines.length - KEPT, 0);
    while (this.list.childElementCount > KEPT) {
      this.list.firstElementChild.remove();
      this.#dropped += 1;
    }
    this.note.hidden = this.#dropped === 0;
    this.note.textContent = `${count(this.#dropped, "earlier line")} not shown; the report has everything.`;
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  }
}

function shown(event) {
  const line = lineOf(event);
  if (line === null) return null;
  return element(
    "li",
    { class: `line-${line.kind}`, "data-number": event.number },
    element("time", { datetime: event.at }, event.at ? clockText(event.at) : ""),
    " ",
    element("span", {}, line.text),
  );
}
