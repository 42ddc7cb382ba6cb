/* How far a run is with each device. */

import { element, setText } from "./elements.js";
import { code, stateMark } from "./parts.js";
import { count, secondsText } from "./times.js";

/** The list of a run's devices; each stays the same element as it changes. */
export class DeviceProgress {
  #cards = new Map();

  constructor() {
    this.list = element("ol", { class: "progress-list" });
  }

  /** Show how a run stands. */
  update(progress) {
    for (const device of progress.devices.values()) {
      let card = this.#cards.get(device.id);
      if (!card) {
        card = new Card(device);
        this.#cards.set(device.id, card);
        this.list.append(card.item);
      }
      card.update(device, progress.result !== null);
    }
  }

  /** Bring what says how long something has been waited for up to date. */
  tick(now) {
    for (const card of this.#cards.values()) card.tick(now);
  }
}

class Card {
  #waiting = null;

  constructor(device) {
    const id = `progress-${device.id}`;
    this.bar = element("progress", { "aria-labelledby": id });
    this.counted = element("span", { class: "quiet" });
    this.duties = element("ul", { class: "chips" });
    this.wait = element("p", { class: "waiting" });
    this.standing = element("span", { class: "standing" });
    this.item = element(
      "li",
      {},
      element(
        "p",
        { id, class: "device-name" },
        element("span", { class: "type" }, device.type),
        " ",
        code(device.id),
      ),
      element("p", { class: "bar" }, this.bar, this.counted, this.standing),
      this.duties,
      this.wait,
    );
  }

  update(device, hasEnded) {
    const total = Math.max(device.duties.length, device.outcomes.size);
    this.bar.max = Math.max(total, 1);
    this.bar.value = total ? device.outcomes.size : Number(device.standing === "finished");
    setText(this.counted, `${device.outcomes.size} of ${count(total, "duty")}`);
    setText(
      this.standing,
      device.standing === "under way" && hasEnded ? "not finished" : device.standing,
    );
    this.#show(device, hasEnded ? "not begun" : "to come");
    this.#waiting = hasEnded ? null : device.waiting;
  }

  #show(device, other) {
    const names = new Set([...device.duties, ...device.outcomes.keys()]);
    const states = [...names].map((name) => [
      name,
      device.outcomes.get(name) ?? (device.current === name ? "under way" : other),
    ]);
    const key = JSON.stringify(states);
    if (this.duties.dataset.key === key) return;
    this.duties.dataset.key = key;
    this.duties.replaceChildren(
      ...states.map(([name, state]) => element("li", {}, `${name} `, stateMark(state))),
    );
  }

  tick(now) {
    setText(this.wait, this.#waiting ? waitText(this.#waiting, now) : "");
  }
}

/** Say what is waited for, how long already, and for how long at most. */
export function waitText(waiting, now) {
  const { who, text } = waiting;
  const what = who ? `${who}: ${text}` : text.charAt(0).toUpperCase() + text.slice(1);
  const past = secondsText(now - Date.parse(waiting.since));
  const most =
    waiting.atMostS === null || waiting.atMostS === undefined
      ? ""
      : ` of at most ${secondsText(waiting.atMostS * 1000)}`;
  return `${what}: ${past}${most}`;
}
