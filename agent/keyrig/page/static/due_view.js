/* What is due, and by when. */

import { element, replaceContents } from "./elements.js";
import {
  button,
  deadline,
  deviceName,
  dutyReason,
  dutyState,
  problemLine,
  refreshUntil,
  table,
} from "./parts.js";
import { count } from "./times.js";
import { isOpen, wordsOf } from "./words.js";

const NEVER = Number.POSITIVE_INFINITY;

export class DueView {
  title = "Due";
  #page;
  #filter = "";
  #version = null;

  constructor(page) {
    this.#page = page;
    this.summary = element("p", { class: "verdict" });
    this.filter = element("select", { id: "due-filter", change: () => this.#filtered() });
    this.list = element("div");
    this.section = element(
      "section",
      { "aria-labelledby": "due-title" },
      element("h1", { id: "due-title", tabindex: "-1" }, "Due"),
      this.summary,
      element(
        "div",
        { class: "controls" },
        element(
          "div",
          { class: "field" },
          element("label", { for: "due-filter" }, "Device"),
          this.filter,
        ),
        button("Start a run…", () => page.startRun(), { id: "due-start", class: "main" }),
      ),
      this.list,
    );
  }

  update() {
    const { standing } = this.#page;
    if (standing.version === this.#version) return;
    this.#version = standing.version;
    this.#show();
  }

  #show() {
    const { standing, clock } = this.#page;
    const rows = dueRows(standing);
    const late = rows.filter((row) => row.duty.overdue).length;
    this.summary.textContent = rows.length
      ? `${count(rows.length, "duty")} to be done${late ? `; ${late} overdue` : ""}.`
      : "Nothing is due.";
    this.#offer(rows);
    const shown = rows.filter((row) => !this.#filter || row.device.entity_id === this.#filter);
    const broken = standing.rigs.filter((rig) => rig.problem);
    replaceContents(
      this.list,
      broken.map((rig) => problemLine({ title: `Rig ${rig.name}`, message: rig.problem.detail })),
      [...standing.problems.values()].map((problem) => problemLine(problem)),
      shown.length > 0 &&
        table(
          "Nearest deadline first; times are by the agent’s clock",
          ["device", "duty", "state", "by", "why"],
          shown.map((row) => this.#row(row, clock.now())),
          "due",
        ),
    );
  }

  tick(now) {
    refreshUntil(this.list, now);
  }

  #row({ device, duty }, now) {
    return [
      [deviceName(device), this.#where(device)],
      [
        element("strong", {}, `${duty.requirement} ${duty.clause ?? ""}`),
        " ",
        wordsOf(duty.step ?? ""),
      ],
      dutyState(duty),
      deadline(duty, now),
      dutyReason(duty),
    ];
  }

  #where(device) {
    if (device.rig === null) return element("span", { class: "rig" }, "on no rig that is served");
    return this.#page.standing.rigs.length > 1 && element("span", { class: "rig" }, device.rig);
  }

  #offer(rows) {
    const devices = new Map(rows.map((row) => [row.device.entity_id, row.device]));
    if (!devices.has(this.#filter)) this.#filter = "";
    const key = [...devices.keys()].join();
    if (this.filter.dataset.key === key) return;
    this.filter.dataset.key = key;
    replaceContents(
      this.filter,
      element("option", { value: "" }, `all ${count(devices.size, "device")}`),
      [...devices.values()].map((device) =>
        element("option", { value: device.entity_id }, `${device.type} ${device.entity_id}`),
      ),
    );
    this.filter.value = this.#filter;
  }

  #filtered() {
    this.#filter = this.filter.value;
    this.#show();
  }
}

/** Give what is to be done, the nearest deadline first, with the device of each. */
export function dueRows(standing) {
  const ours = standing
    .allDevices()
    .flatMap((device) => device.duties.filter(isOpen).map((duty) => ({ device, duty })));
  const others = standing.elsewhere.map((duty) => ({
    device: { entity_id: duty.entity_id, type: "", rig: null },
    duty: { ...duty, state: "due", deadline: duty.due_by },
  }));
  const at = (row) => (row.duty.deadline ? Date.parse(row.duty.deadline) : NEVER);
  return [...ours, ...others].sort((a, b) => {
    const overdue = Number(b.duty.overdue) - Number(a.duty.overdue);
    return overdue || at(a) - at(b) || 0;
  });
}
