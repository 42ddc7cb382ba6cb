/* Pieces that several views are made of. */

import { element } from "./elements.js";
import { localText, untilText, utcText } from "./times.js";
import { isOpen, signOf, wordsOf } from "./words.js";

const EUI_PARTS = 8;

/** Give a name or an identifier; an EUI-64 may be broken in its middle where there is no room. */
export function code(text) {
  const parts = String(text).split("-");
  if (parts.length !== EUI_PARTS) return element("code", {}, text);
  const half = parts.length / 2;
  return element(
    "code",
    {},
    element("span", { class: "half" }, `${parts.slice(0, half).join("-")}-`),
    element("wbr"),
    element("span", { class: "half" }, parts.slice(half).join("-")),
  );
}

/** Name a device. */
export function deviceName(device) {
  return [element("span", { class: "type" }, device.type), " ", code(device.entity_id)];
}

/** Give a state by sign, word and form. */
export function stateMark(state, more = "") {
  return element(
    "span",
    { class: `state state-${state.replaceAll(" ", "-")}` },
    element("span", { class: "sign", "aria-hidden": "true" }, signOf(state)),
    " ",
    wordsOf(state) + more,
  );
}

/** Give where a duty stands. */
export function dutyState(duty) {
  if (!duty.overdue) return stateMark(duty.state);
  return duty.state === "due"
    ? stateMark("overdue")
    : stateMark("overdue", `, ${wordsOf(duty.state)}`);
}

/** Say why a duty stands where it does; of one that was held back, what is missing and what to do. */
export function dutyReason(duty) {
  const held = duty.not_begun;
  if (!held) return duty.reason ?? "";
  return [
    element("strong", {}, "Not begun: "),
    held.reason,
    element("span", { class: "mend" }, `What to do: ${held.mend}`),
    element("span", { class: "small-print" }, "Found ", instant(held.at)),
  ];
}

/** Give an instant in local time and in UTC. */
export function instant(iso) {
  return element(
    "time",
    { datetime: iso },
    localText(iso),
    element("span", { class: "utc" }, utcText(iso)),
  );
}

/** Give a duty's deadline: when it is and, while that matters, how far away. */
export function deadline(duty, now) {
  const iso = duty.deadline;
  if (!iso) return element("span", { class: "quiet" }, "none");
  if (!isOpen(duty)) return instant(iso);
  return [
    element("strong", { class: "until", "data-until": iso }, untilText(iso, now)),
    instant(iso),
  ];
}

/** Bring what says how far away deadlines are up to date. */
export function refreshUntil(container, now) {
  for (const node of container.querySelectorAll("[data-until]")) {
    const text = untilText(node.dataset.until, now);
    if (node.textContent !== text) node.textContent = text;
  }
}

/** Say in one line what went wrong and what to do. */
export function problemLine(error) {
  return element(
    "p",
    { class: "problem" },
    element("span", { class: "sign", "aria-hidden": "true" }, "✕ "),
    element("strong", {}, `${error.title ?? "Error"}: `),
    error.message,
  );
}

/**
 * Make a table; the first of each row is its header.
 *
 * The roles are written out because narrow windows show each row as a block, by which a browser
 * would take it for no table.
 */
export function table(caption, columns, rows, name) {
  const head = columns.map((column) =>
    element("th", { scope: "col", role: "columnheader" }, column),
  );
  const body = rows.map(([first, ...cells]) =>
    element(
      "tr",
      { role: "row" },
      element("th", { scope: "row", role: "rowheader" }, first),
      cells.map((cell, index) =>
        element("td", { role: "cell", "data-label": columns[index + 1] }, cell),
      ),
    ),
  );
  return element(
    "table",
    { role: "table", class: name },
    element("caption", {}, caption),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, head)),
    element("tbody", { role: "rowgroup" }, body),
  );
}

/** Make a button. */
export function button(text, press, attributes = {}) {
  return element("button", { type: "button", click: press, ...attributes }, text);
}

/** Make a list of terms and what is said of each; what is null is left out. */
export function said(terms) {
  return element(
    "dl",
    { class: "said" },
    Object.entries(terms)
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([term, value]) =>
        element("div", {}, element("dt", {}, term), element("dd", {}, value)),
      ),
  );
}
