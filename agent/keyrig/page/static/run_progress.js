/* What is known of a run from its events; holds no element of the page. */

import { wordsOf } from "./words.js";

const MATTERS = {
  "person-needed": (e) => ["a person must act", e.reason],
  "device-refused": (e) => ["left alone", e.reason],
  "security-incident": (e) => ["security incident", e.reason],
  flag: (e) => [wordsOf(e.flag), e.reason],
  clock: (e) => ["clock", e.detail],
  "radio-still-lost": (e) => ["radio lost", `${e.radio}: ${e.reason}`],
  "request-waiting": (e) => ["waits for the authority", `${e.key_usage} request: ${e.answer}`],
  "run-refused": (e) => ["nothing was sent", e.reason],
};

/** A run, as its events so far tell. */
export class RunProgress {
  constructor() {
    this.devices = new Map();
    this.matters = [];
    this.duties = null;
    this.heldBack = 0;
    this.deviceCount = null;
    this.stoppedBy = null;
    this.stillDue = null;
    this.result = null;
    this.problem = null;
    this.general = null;
  }

  /** Give how many duties have ended. */
  ended() {
    return [...this.devices.values()].reduce((sum, device) => sum + device.outcomes.size, 0);
  }

  /** Give what is waited for, each with its text, since when, and for how long at most. */
  waits() {
    if (this.result !== null) return [];
    const ofDevices = [...this.devices.values()]
      .filter((device) => device.waiting !== null)
      .map((device) => ({ ...device.waiting, who: device.type }));
    return this.general === null ? ofDevices : [...ofDevices, this.general];
  }

  /** Take an event. */
  apply(event) {
    const matter = MATTERS[event.type]?.(event);
    if (matter)
      this.matters.push({ device: event.device ?? null, kind: matter[0], text: matter[1] });
    this.#ofRun(event);
    const device = this.devices.get(event.device);
    if (event.type === "device-started") this.#begin(event);
    else if (device) ofDevice(device, event);
  }

  #ofRun(event) {
    if (event.type === "preparing") {
      this.general = { text: event.what, since: event.at, atMostS: null };
    } else if (event.type === "run-started") {
      this.duties = event.duties;
      this.deviceCount = event.devices;
      this.general = null;
    } else if (event.type === "duty-not-begun") this.heldBack += 1;
    else if (event.type === "stop-requested") this.stoppedBy = event.by;
    else if (event.type === "run-finished") this.stillDue = event.still_due;
    else if (event.type === "operation-finished") {
      this.result = event.result;
      this.problem = event.problem ?? null;
    }
  }

  #begin(event) {
    this.devices.set(event.device, {
      id: event.device,
      type: event.device_type,
      duties: event.duties ?? [],
      outcomes: new Map(),
      current: null,
      standing: "under way",
      waiting: { text: `opening ${event.link}`, since: event.at, atMostS: null },
    });
  }
}

function ofDevice(device, event) {
  const wait = (text, atMostS) => {
    device.waiting = { text, since: event.at, atMostS };
  };
  switch (event.type) {
    case "duty-started":
      device.current = event.requirement;
      device.waiting = null;
      break;
    case "duty-finished":
      device.outcomes.set(event.requirement, event.outcome);
      if (device.current === event.requirement) device.current = null;
      device.waiting = null;
      break;
    case "command-sent":
      wait(`waiting for the answer to ${event.what}`, event.timeout_s);
      break;
    case "waiting-for-wake":
      wait("waiting for it to wake", event.at_most_s);
      break;
    case "node-state":
      wait(event.state, null);
      break;
    case "certifying":
      wait(`certifying its ${event.key_usage} key: ${event.authority}`, null);
      break;
    case "request-waiting":
    case "request-certified":
    case "response-verified":
    case "no-response":
    case "security-incident":
      device.waiting = null;
      break;
    case "person-needed":
      device.standing = "a person must act";
      break;
    case "device-refused":
      device.standing = "left alone";
      break;
    case "device-finished":
      if (device.standing === "under way") device.standing = "finished";
      device.current = null;
      device.waiting = null;
      break;
    default:
  }
}
