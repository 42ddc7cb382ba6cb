/* How a run ended: in words, with what is to be had of it and what is left to do. */

import { downloads } from "./downloads.js";
import { element } from "./elements.js";
import { code, deviceName, dutyReason, dutyState, stateMark } from "./parts.js";
import { unreported } from "./upstream_view.js";
import { resultSentence, signOf } from "./words.js";

/** Say how a run ended. */
export function endSentence(standing, run, progress) {
  return resultSentence(run.state, {
    stoppedBy: progress.stoppedBy,
    unreported: unreported(standing.upstreams),
  });
}

/** Give a sentence that says how a run stands, with the sign of its state. */
export function verdict(state, sentence) {
  return element(
    "p",
    { class: `verdict state-${state}` },
    element("span", { class: "sign", "aria-hidden": "true" }, `${signOf(state)} `),
    sentence,
  );
}

/** List what is for a person to look at. */
export function matterList(matters) {
  if (!matters.length) return null;
  return element(
    "ul",
    { class: "matters" },
    matters.map((matter) =>
      element(
        "li",
        {},
        element("strong", {}, matter.kind),
        matter.device && [" ", code(matter.device)],
        ": ",
        matter.text,
      ),
    ),
  );
}

/** Give what a run did not begin, for `matterList`: the duties of a device that lack one thing. */
export function notBegunMatters(run) {
  const found = new Map();
  for (const { entity_id: device, requirement, reason, mend } of run.not_begun ?? []) {
    const key = JSON.stringify([device, reason, mend]);
    const matter = found.get(key) ?? { device, requirements: [], text: `${reason}; ${mend}` };
    matter.requirements.push(requirement);
    found.set(key, { ...matter, kind: `not begun: ${matter.requirements.join(" ")}` });
  }
  return [...found.values()];
}

/** Give what can be downloaded of a run. */
export function evidencePart(api, run) {
  return [
    element("h2", {}, "Evidence and reports"),
    run.has_report
      ? downloads(api, run)
      : element("p", {}, "The run never began; there is nothing to report of it."),
  ];
}

/** Say which duties of the rig are still to be done. */
export function leftPart(rows) {
  return [
    element("h2", {}, "What is left"),
    rows.length
      ? element(
          "ul",
          { class: "matters" },
          rows.map(({ device, duty }) =>
            element(
              "li",
              {},
              deviceName(device),
              ` ${duty.requirement} `,
              dutyState(duty),
              ": ",
              dutyReason(duty),
            ),
          ),
        )
      : element("p", {}, "Nothing: no duty of this rig is still to be done."),
  ];
}

/** Give the duties of a run whose events are not kept. */
export function attemptsPart(run) {
  if (run.has_events || !run.duties.length) return null;
  return [
    element("h2", {}, "Duties"),
    element(
      "ul",
      { class: "matters" },
      run.duties.map((duty) =>
        element(
          "li",
          {},
          code(duty.entity_id),
          ` ${duty.requirement} `,
          stateMark(duty.outcome ?? "under way"),
          `: ${duty.detail}`,
        ),
      ),
    ),
  ];
}
