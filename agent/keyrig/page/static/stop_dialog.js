/* Asks whether a run is to stop, and has it stop. */

import { element } from "./elements.js";
import { button, problemLine } from "./parts.js";

export class StopDialog {
  constructor(api, runId, stopping) {
    this.api = api;
    this.runId = runId;
    this.stopping = stopping;
    this.told = element("div", { role: "alert" });
    this.yes = button("Stop the run", () => this.#stop(), { id: "stop-yes", class: "main" });
    this.dialog = element(
      "dialog",
      { id: "stop-dialog", "aria-labelledby": "stop-title", "aria-describedby": "stop-text" },
      element("h2", { id: "stop-title" }, "Stop the run?"),
      element(
        "p",
        { id: "stop-text" },
        "It stops before its next command. What devices have answered is kept, and the next run goes on where it stood.",
      ),
      this.told,
      element(
        "div",
        { class: "buttons" },
        this.yes,
        button("Let it go on", () => this.close(), { id: "stop-no" }),
      ),
    );
  }

  open() {
    this.told.replaceChildren();
    this.yes.disabled = false;
    this.dialog.showModal();
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  async #stop() {
    this.yes.disabled = true;
    try {
      await this.api.post(`/runs/${this.runId}/stop`);
      this.close();
      this.stopping();
    } catch (error) {
      this.yes.disabled = false;
      this.told.replaceChildren(problemLine(error));
    }
  }
}
