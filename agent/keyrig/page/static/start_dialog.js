/* Asks what a run is to do, says what of it cannot be undone, and starts it. */

import { element, replaceContents } from "./elements.js";
import { button, deviceName, problemLine } from "./parts.js";
import { count } from "./times.js";

const IRREVERSIBLE = "regenerate-keys";
const BUSY = new Set(["device-busy", "rig-busy"]);
const TO_DO = new Set(["due", "failed"]);

export class StartDialog {
  #page;
  #boxes = [];

  constructor(page) {
    this.#page = page;
    this.rig = element("select", { id: "start-rig", change: () => this.#offer() });
    this.rigField = element(
      "div",
      { class: "field" },
      element("label", { for: "start-rig" }, "Rig"),
      this.rig,
    );
    this.whole = this.#choice("start-whole", true);
    this.chosen = this.#choice("start-chosen", false);
    this.wholeLabel = element("label", { class: "choice", for: "start-whole" }, this.whole);
    this.wholeText = element("span");
    this.wholeLabel.append(this.wholeText);
    this.devices = element("div", { class: "choices", id: "start-devices" });
    this.warning = element("div", { class: "warning", id: "start-warning" });
    this.clock = element("input", { type: "checkbox", id: "start-clock" });
    this.told = element("div", { role: "alert" });
    this.yes = element(
      "button",
      { type: "submit", id: "start-yes", class: "main" },
      "Start the run",
    );
    this.dialog = this.#dialog();
    document.body.append(this.dialog);
  }

  /** Open it, for a whole rig or for one device of it. */
  open(rigName, entityId) {
    const { rigs } = this.#page.standing;
    replaceContents(
      this.rig,
      rigs
        .filter((rig) => !rig.problem)
        .map((rig) => element("option", { value: rig.name }, rig.name)),
    );
    if (rigName) this.rig.value = rigName;
    this.rigField.hidden = rigs.length < 2;
    this.told.replaceChildren();
    this.clock.checked = false;
    this.yes.disabled = false;
    this.#offer(entityId);
    this.dialog.showModal();
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #choice(id, isChecked) {
    return element("input", {
      type: "radio",
      name: "start-what",
      id,
      checked: isChecked,
      change: () => this.#changed(),
    });
  }

  #dialog() {
    const form = element(
      "form",
      { method: "dialog", submit: (event) => this.#submitted(event) },
      element("h2", { id: "start-title" }, "Start a run"),
      this.rigField,
      element(
        "fieldset",
        {},
        element("legend", {}, "What to carry out"),
        this.wholeLabel,
        element("label", { class: "choice", for: "start-chosen" }, this.chosen, "Chosen devices"),
        this.devices,
      ),
      this.warning,
      element(
        "details",
        {},
        element("summary", {}, "If the clock was refused"),
        element(
          "label",
          { class: "choice", for: "start-clock" },
          this.clock,
          "I have looked: the rig’s clock is right, though it disagrees with what is on record",
        ),
      ),
      this.told,
      element(
        "div",
        { class: "buttons" },
        this.yes,
        button("Do not start", () => this.close(), { id: "start-no" }),
      ),
    );
    return element(
      "dialog",
      { id: "start-dialog", "aria-labelledby": "start-title", "aria-describedby": "start-warning" },
      form,
    );
  }

  #offer(entityId = null) {
    const devices = this.#devices();
    const due = devices.reduce((sum, device) => sum + toDo(device).length, 0);
    this.wholeText.textContent = `The whole rig: ${count(due, "duty")} due on ${count(devices.filter((device) => toDo(device).length).length, "device")}`;
    this.#boxes = devices.map((device) =>
      element("input", {
        type: "checkbox",
        id: `start-${device.entity_id}`,
        value: device.entity_id,
        checked: device.entity_id === entityId,
        change: () => this.#changed(),
      }),
    );
    replaceContents(
      this.devices,
      devices.map((device, index) =>
        element(
          "label",
          { class: "choice", for: `start-${device.entity_id}` },
          this.#boxes[index],
          element("span", {}, deviceName(device), `: ${count(toDo(device).length, "duty")} due`),
        ),
      ),
    );
    this.whole.checked = entityId === null;
    this.chosen.checked = entityId !== null;
    this.#changed();
  }

  #devices() {
    return this.#page.standing.devices.get(this.rig.value)?.devices ?? [];
  }

  #selected() {
    const chosen = new Set(this.#boxes.filter((box) => box.checked).map((box) => box.value));
    return this.#devices().filter((device) => this.whole.checked || chosen.has(device.entity_id));
  }

  #changed() {
    this.devices.hidden = this.whole.checked;
    const keyed = this.#selected().filter((device) =>
      toDo(device).some((duty) => duty.step === IRREVERSIBLE),
    );
    replaceContents(
      this.warning,
      keyed.length
        ? [
            element(
              "p",
              {},
              element("strong", {}, "Re-generating keys cannot be undone on the device."),
              ` This run does it on ${count(keyed.length, "device")}:`,
            ),
            element(
              "ul",
              {},
              keyed.map((device) => element("li", {}, deviceName(device))),
            ),
          ]
        : element(
            "p",
            {},
            "No keys are re-generated as things stand. Certificates that are replaced stay replaced.",
          ),
    );
  }

  async #submitted(event) {
    event.preventDefault();
    const devices = this.whole.checked ? [] : this.#selected().map((device) => device.entity_id);
    if (!this.whole.checked && !devices.length) {
      this.told.replaceChildren(
        problemLine({
          title: "Nothing chosen",
          message: "choose at least one device, or the whole rig",
        }),
      );
      this.#boxes[0]?.focus();
      return;
    }
    this.yes.disabled = true;
    try {
      const asked = { rig: this.rig.value, devices, accept_clock: this.clock.checked };
      const accepted = await this.#page.api.post("/runs", asked);
      this.close();
      this.#page.goTo(`#/run/${accepted.operation_id}`);
    } catch (error) {
      this.yes.disabled = false;
      await this.#refused(error);
    }
  }

  /** Say why it did not start; where another run stands in the way, show the way to it. */
  async #refused(error) {
    replaceContents(this.told, problemLine(error));
    if (!BUSY.has(error.code)) return;
    await this.#page.standing.refresh();
    const rig = this.#page.standing.rigs.find((each) => each.name === this.rig.value);
    const operation = error.operationId ?? rig?.running;
    if (!operation) return;
    const watch = element(
      "a",
      { class: "tap", href: `#/run/${operation}`, click: () => this.close() },
      "Watch the run that stands in the way",
    );
    this.told.append(element("p", {}, watch));
  }
}

function toDo(device) {
  return device.duties.filter((duty) => TO_DO.has(duty.state));
}
