/* The devices of the rigs: SMI Status, line, and how each duty stands. */

import { element, replaceContents } from "./elements.js";
import {
  button,
  deadline,
  deviceName,
  dutyReason,
  dutyState,
  instant,
  problemLine,
  refreshUntil,
  said,
  stateMark,
  table,
} from "./parts.js";
import { Certification } from "./requests_part.js";
import { wordsOf } from "./words.js";

export class DevicesView {
  title = "Devices";
  #page;
  #version = null;
  #certifications = new Map(); // By rig; what was said of certificates given stays to be read.

  constructor(page) {
    this.#page = page;
    this.list = element("div");
    this.section = element(
      "section",
      { "aria-labelledby": "devices-title" },
      element("h1", { id: "devices-title", tabindex: "-1" }, "Devices"),
      this.list,
    );
  }

  update() {
    const { version } = this.#page.standing;
    if (version === this.#version) return;
    this.#version = version;
    replaceContents(
      this.list,
      this.#page.standing.rigs.map((rig) => this.#rig(rig)),
    );
  }

  tick(now) {
    refreshUntil(this.list, now);
  }

  #rig(rig) {
    const { standing } = this.#page;
    const found = standing.devices.get(rig.name);
    const problem = rig.problem
      ? { title: "Broken rig file", message: rig.problem.detail }
      : standing.problems.get(rig.name);
    return element(
      "section",
      { "aria-label": `Rig ${rig.name}` },
      element("h2", {}, rig.name),
      problem && problemLine(problem),
      found && element("p", { class: "small-print" }, found.edition),
      this.#radios(rig),
      found && this.#certification(rig).show(found.devices),
      found?.devices.map((device) => this.#device(rig, device)),
    );
  }

  #certification(rig) {
    const made = this.#certifications.get(rig.name) ?? new Certification(this.#page, rig.name);
    this.#certifications.set(rig.name, made);
    return made;
  }

  #radios(rig) {
    const radios = this.#page.standing.radios.get(rig.name) ?? {};
    return Object.entries(radios).map(([name, radio]) =>
      element(
        "p",
        {},
        element("strong", {}, `Radio ${name}: `),
        radio.state,
        radio.reason && ` (${radio.reason})`,
        radio.channel !== undefined && `, channel ${radio.channel}, PAN ${radio.pan_id}`,
      ),
    );
  }

  #device(rig, device) {
    const id = `device-${device.entity_id}`;
    return element(
      "article",
      { class: "device", "aria-labelledby": id },
      element("h3", { id }, deviceName(device)),
      said({
        "SMI Status": this.#status(device),
        Instruction: this.#instruction(device.status_instruction),
        Line: this.#line(rig, device),
      }),
      this.#certification(rig).list(device, this.#page.clock.now()),
      this.#duties(device),
      element(
        "div",
        { class: "buttons" },
        device.open_duties > 0 &&
          button("Run this device…", () => this.#page.startRun(rig.name, device.entity_id), {
            id: `run-${device.entity_id}`,
            "aria-label": `Run ${device.type} ${device.entity_id}…`,
          }),
      ),
      this.#explanation(rig, device),
    );
  }

  #status(device) {
    if (!device.smi_status) return "not known";
    if (!device.suspended_under) return device.smi_status;
    const since = this.#page.standing.since.get(device.entity_id)?.at;
    return [
      element(
        "strong",
        { class: "suspended" },
        element("span", { class: "sign", "aria-hidden": "true" }, "! "),
        `${device.smi_status} under ${device.suspended_under}`,
      ),
      since && [" since ", instant(since)],
    ];
  }

  #instruction(instruction) {
    if (!instruction) return null;
    return [
      stateMark("waiting"),
      ` for the inventory to show ${instruction.status}, under ${instruction.clause}, since `,
      instant(instruction.since),
      element("span", { class: "small-print" }, `${instruction.reason}; ${instruction.channel}`),
    ];
  }

  #line(rig, device) {
    const radios = Object.values(this.#page.standing.radios.get(rig.name) ?? {});
    const onAir = radios.map((radio) => radio.devices?.[device.entity_id]).find(Boolean);
    const held =
      device.held_by === null || device.held_by === undefined
        ? null
        : device.held_by === ""
          ? "another program reaches it now"
          : `run ${device.held_by.slice(0, 8)} reaches it now`;
    return [device.link, onAir, held].filter(Boolean).join("; ");
  }

  #duties(device) {
    if (!device.duties.length) return element("p", { class: "quiet" }, "It owes nothing.");
    return table(
      "Its duties",
      ["duty", "state", "by", "why"],
      device.duties.map((duty) => [
        [
          `${duty.requirement} ${duty.clause} `,
          element("span", { class: "step" }, wordsOf(duty.step)),
        ],
        dutyState(duty),
        deadline(duty, this.#page.clock.now()),
        dutyReason(duty),
      ]),
      "duties",
    );
  }

  #explanation(rig, device) {
    const body = element("div", { "aria-live": "polite" });
    const path = `/rigs/${encodeURIComponent(rig.name)}/devices/${device.entity_id}/explanation`;
    return element(
      "details",
      {
        id: `explain-${device.entity_id}`,
        toggle: async (event) => {
          if (!event.currentTarget.open || body.childElementCount) return;
          body.replaceChildren(element("p", { class: "quiet" }, "Asking…"));
          try {
            const document = await this.#page.api.get(path);
            body.replaceChildren(...document.duties.map((duty) => explained(duty)));
          } catch (error) {
            body.replaceChildren(problemLine(error));
          }
        },
      },
      element("summary", {}, "Why, and what would change it"),
      body,
    );
  }
}

function explained(duty) {
  return element(
    "section",
    { class: "explained" },
    element("h4", {}, `${duty.requirement}: `, stateMark(duty.state)),
    element("p", {}, duty.reason),
    lines("Rule", duty.rule),
    lines("Days", [duty.days]),
    lines(
      "Facts",
      duty.facts.map((fact) => factLine(fact)),
    ),
    lines(
      "Readings",
      duty.readings.map((each) => `${each.ambiguity} ${each.name}: ${each.choice}; ${each.reason}`),
    ),
    lines(
      "Attempts",
      duty.attempts.map(
        (each) => `${each.started_at}: ${each.outcome ?? "under way"}; ${each.detail}`,
      ),
    ),
    lines("Entails", duty.entails),
    lines("Would change it", duty.would_change_it),
  );
}

function lines(name, texts) {
  const said = texts.filter(Boolean);
  if (!said.length) return null;
  return [
    element("p", { class: "small-print" }, name),
    element(
      "ul",
      {},
      said.map((text) => element("li", {}, text)),
    ),
  ];
}

function factLine(fact) {
  const value = Array.isArray(fact.value) ? fact.value.join(", ") : String(fact.value);
  const source = fact.said ? `, says ${fact.said.source}` : ", as nobody said otherwise";
  return `${wordsOf(fact.name)}: ${value}${source}`;
}
