/* What happens in a run, each event as one line. */

import { count } from "./times.js";
import { wordsOf } from "./words.js";

const ENVELOPE = new Set(["schema", "number", "type", "at", "device"]);

const LINES = {
  "operation-accepted": (e) => ["quiet", `accepted, asked for by ${e.requested_by}`],
  preparing: (e) => ["quiet", e.what],
  hosting: (e) => ["quiet", `emulated ${e.device_type} on ${e.url}`],
  "hosting-radio": (e) => ["quiet", `emulated radio ${e.radio} on ${e.url}`],
  "run-started": (e) => [
    "head",
    e.duties
      ? `${count(e.duties, "duty")} due on ${count(e.devices, "device")} (${e.edition})`
      : `nothing is due (${e.edition})`,
  ],
  clock: (e) => ["warn", `clock: ${e.detail}`],
  "interruption-found": (e) => ["warn", `going on with ${e.duty}, which an earlier run left open`],
  "device-started": (e) => ["head", `${e.device_type} ${e.device} on ${e.link}: ${list(e.duties)}`],
  receiving: (e) => ["quiet", `the DCC's answers are received on ${e.address}${e.path}`],
  "document-refused": (e) => ["warn", `a document was refused: ${e.reason}`],
  "dcc-alert": (e) => [
    "step",
    `DCC alert ${e.code}${e.device ? ` of ${e.device}` : ""}: ${e.alert}`,
  ],
  radio: (e) => ["quiet", `radio ${e.radio}: ${e.state}${why(e.reason)}`],
  "radio-still-lost": (e) => ["warn", `radio ${e.radio}: still lost${why(e.reason)}`],
  "radio-lacks-smart-energy": (e) => ["warn", e.why],
  network: (e) => ["quiet", `radio ${e.radio}: network on channel ${e.channel}, PAN ${e.pan_id}`],
  forming: (e) => ["quiet", `radio ${e.radio}: forming a network on channel ${e.channel}`],
  node: (e) => ["quiet", `${e.device} ${e.state}`],
  "node-state": (e) => ["quiet", `${e.device}: ${e.state}`],
  "keys-established": (e) => ["quiet", `${e.device}: keys established`],
  "keys-refused": (e) => ["warn", `${e.device}: ${e.reason}`],
  "network-key": (e) => ["quiet", `radio ${e.radio}: network key ${e.sequence} holds`],
  "waiting-for-wake": (e) => ["quiet", `${e.device} sleeps; waiting until it wakes`],
  fault: (e) => ["bad", e.reason],
  "duty-started": (e) => ["step", `${e.requirement} ${e.clause}: ${wordsOf(e.step)}`],
  "command-sent": (e) => ["quiet", `sent ${e.what}${counter(", counter", e)}`],
  "response-verified": (e) => ["quiet", `verified ${e.what}, ${e.octets} octets`],
  certifying: (e) => ["quiet", `certifying the ${e.key_usage} key: ${e.authority}`],
  "request-waiting": (e) => ["warn", `${e.device} ${e.key_usage} request waits: ${e.answer}`],
  "request-certified": (e) => [
    "step",
    `${e.device} ${e.key_usage} request certified: ${e.authority}`,
  ],
  "duty-not-begun": (e) => [
    "warn",
    `${e.device} ${e.requirement} not begun: ${e.reason}; ${e.mend}`,
  ],
  "run-refused": (e) => ["bad", `nothing was sent: ${e.reason}`],
  "no-response": (e) => ["warn", `no response${counter(" to counter", e)} in ${e.waited_s} s`],
  noise: (e) => ["warn", `set aside: ${e.reason}`],
  alert: (e) => [
    e.verified ? "quiet" : "bad",
    `alert ${e.message_code} ${e.alert_code ?? ""} ${e.verified ? "verified" : "does not verify"}`,
  ],
  "security-incident": (e) => ["bad", `security incident: ${e.reason}`],
  "duty-finished": (e) => [
    { done: "good", failed: "bad" }[e.outcome] ?? "warn",
    `${e.requirement} ${wordsOf(e.outcome)}: ${e.detail}`,
  ],
  "delivery-started": (e) => [
    "head",
    `${e.device} on ${e.link}: ${count(e.commands, "command")}, ${e.to_send} to be sent`,
  ],
  "local-command": (e) => ["quiet", `${e.position} ${e.what}, counter ${e.counter}`],
  "local-answer": (e) => [
    e.state === "answered" ? "good" : "bad",
    `${e.position} ${e.what} ${e.state}, ${wordsOf(e.verification)}${why(e.detail)}`,
  ],
  "command-expired": (e) => ["warn", `${e.position} expired: ${e.detail}`],
  "delivery-stopped": (e) => ["warn", `stopped behind command ${e.position}; ${e.waiting} wait`],
  "delivery-finished": (e) => ["head", `${wordsOf(e.result)}${why(e.detail)}`],
  cancellation: (e) => ["step", `${e.duty}: ${e.detail}`],
  "replacement-lapsed": (e) => [
    "warn",
    `${e.device} ${e.requirement}: no alert came of what was held for later; due anew`,
  ],
  "smi-status": (e) => ["warn", `SMI Status '${e.status}' under ${e.clause}: ${e.reason}`],
  permission: (e) => ["step", `the hub may be replaced under ${e.clause}: ${e.reason}`],
  notice: (e) => ["step", `notice to ${e.to} under ${e.clause}: ${e.reason}`],
  flag: (e) => ["warn", `for a person: ${wordsOf(e.flag)}: ${e.reason}`],
  "person-needed": (e) => ["bad", `a person must act: ${e.reason}`],
  "device-refused": (e) => ["bad", `left alone: ${e.reason}`],
  "stop-requested": (e) => ["warn", `${e.by} asks it to stop`],
  "run-stopped": (e) => ["warn", e.reason],
  "run-finished": (e) => [
    "head",
    `${wordsOf(e.result)}${e.still_due ? `; ${count(e.still_due, "duty")} still to be done` : ""}`,
  ],
};

/** Events that say nothing to whoever reads along. */
const UNSAID = new Set(["device-finished", "operation-finished", "radio-standing"]);

/** Give an event's kind and its line, or null where there is nothing to say. */
export function lineOf(event) {
  if (UNSAID.has(event.type)) return null;
  const [kind, text] = LINES[event.type]?.(event) ?? ["quiet", plain(event)];
  return { kind, text: String(text) };
}

/** Write an event that this page does not know. */
function plain(event) {
  const said = Object.entries(event)
    .filter(([key]) => !ENVELOPE.has(key))
    .map(
      ([key, value]) =>
        `${wordsOf(key)} ${typeof value === "object" ? JSON.stringify(value) : value}`,
    );
  return [wordsOf(event.type), ...said].join(", ");
}

function why(reason) {
  return reason ? `: ${reason}` : "";
}

/** Name a command's counter, unless the DCC took one that is not known here. */
function counter(before, event) {
  return (event.counter ?? null) === null ? "" : `${before} ${event.counter}`;
}

function list(duties) {
  return duties?.length ? duties.join(" ") : "no duty";
}
