/* One run: its progress as it happens, and what came of it. */

import { announce } from "./announcer.js";
import { problemOf, Unreachable } from "./api.js";
import { DeviceProgress, waitText } from "./device_progress.js";
import { dueRows } from "./due_view.js";
import { element, replaceContents, setText } from "./elements.js";
import { Follower } from "./event_stream.js";
import { button, code, instant, problemLine, said } from "./parts.js";
import {
  attemptsPart,
  endSentence,
  evidencePart,
  leftPart,
  matterList,
  notBegunMatters,
  verdict,
} from "./run_end.js";
import { RunLog } from "./run_log.js";
import { RunProgress } from "./run_progress.js";
import { StopDialog } from "./stop_dialog.js";
import { clockText, count, secondsText } from "./times.js";
import { resultSentence } from "./words.js";

const ASK_AGAIN_MS = 5_000;

export class RunView {
  #page;
  #id = "";
  #run = null;
  #controller = null;
  #progress = new RunProgress();
  #shownEnd = "";

  constructor(page) {
    this.#page = page;
    this.heading = element("h1", { id: "run-title", tabindex: "-1" }, "Run");
    this.body = element("div");
    this.section = element("section", { "aria-labelledby": "run-title" }, this.heading, this.body);
  }

  get title() {
    return `Run ${this.#id.slice(0, 8)}`;
  }

  show(id) {
    if (id === this.#id && this.#controller) return;
    this.hide();
    this.#id = id;
    this.#run = null;
    this.#shownEnd = "";
    this.#progress = new RunProgress();
    this.heading.textContent = this.title;
    this.#lay();
    this.#controller = new AbortController();
    this.#watch(this.#controller.signal);
  }

  hide() {
    this.#controller?.abort();
    this.#controller = null;
    this.stopDialog?.close();
    this.stopDialog?.dialog.remove();
    this.stopDialog = null;
    this.#id = "";
    this.body.replaceChildren();
  }

  update() {
    if (this.#run && this.#run.state !== "running") this.#showEnd();
  }

  tick(now) {
    if (!this.#run) return;
    this.devices.tick(now);
    const ended = this.#run.finished_at ? Date.parse(this.#run.finished_at) : now;
    setText(this.elapsed, secondsText(ended - Date.parse(this.#run.started_at)));
    const waits = this.#progress.waits();
    setText(this.waits, waits.map((waiting) => waitText(waiting, now)).join(" "));
  }

  #lay() {
    this.result = element("div", { class: "result" });
    this.facts = element("div");
    this.elapsed = element("span");
    this.connection = element("p", { class: "connection", role: "status" });
    this.overall = element("p", { class: "bar overall", hidden: true });
    this.bar = element("progress", { "aria-label": "Duties ended" });
    this.counted = element("span");
    this.overall.append(this.bar, this.counted);
    this.waits = element("p", { class: "waiting", id: "run-waits" });
    this.stop = button("Stop the run…", () => this.stopDialog.open(), {
      id: "run-stop",
      class: "main",
      hidden: true,
    });
    this.stopDialog = new StopDialog(this.#page.api, this.#id, () => this.#stopping());
    // The event that tells of the stop may come first, and the focus cannot go back to a button
    // that is hidden by then.
    this.stopDialog.dialog.addEventListener("close", () => {
      if (this.stop.hidden) this.heading.focus({ preventScroll: true });
    });
    this.devices = new DeviceProgress();
    this.log = new RunLog();
    this.end = element("div");
    this.live = element(
      "div",
      { hidden: true },
      element("h2", {}, "Devices"),
      this.devices.list,
      element("h2", {}, "Steps"),
      this.log.box,
    );
    replaceContents(
      this.body,
      this.result,
      this.connection,
      this.overall,
      this.waits,
      element("div", { class: "buttons" }, this.stop),
      this.end,
      this.live,
      element("h2", {}, "This run"),
      this.facts,
    );
    document.body.append(this.stopDialog.dialog);
  }

  async #watch(signal) {
    try {
      await this.#fetchRun(signal);
      if (this.#run.has_events) {
        this.live.hidden = false;
        const path = `/runs/${this.#id}/events`;
        await new Follower(this.#page.api, path, this.#handlers(), signal).follow();
      } else await this.#ask(signal);
      if (signal.aborted) return;
      setText(this.connection, "");
      await this.#fetchRun(signal);
      await this.#page.standing.refresh();
      if (!signal.aborted) this.#ended();
    } catch (error) {
      if (signal.aborted) return;
      replaceContents(this.result, problemLine(error), this.#again());
    }
  }

  #again() {
    return button(
      "Try again",
      () => {
        const id = this.#id;
        this.hide();
        this.show(id);
      },
      { id: "run-again" },
    );
  }

  /** Ask now and then how a run stands whose events are not kept. */
  async #ask(signal) {
    while (!signal.aborted && this.#run.state === "running") {
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      if (!signal.aborted) await this.#fetchRun(signal);
    }
  }

  /** Fetch how the run stands, for as long as it takes until the agent answers. */
  async #fetchRun(signal) {
    while (!signal.aborted) {
      try {
        const run = await this.#page.api.get(`/runs/${this.#id}`);
        if (!signal.aborted) this.#showRun(run);
        return;
      } catch (error) {
        if (!(error instanceof Unreachable) || signal.aborted) throw error;
        this.#sayLost(`${error.title}: ${error.message}.`);
        await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      }
    }
  }

  #sayLost(text) {
    this.connection.className = "connection problem";
    setText(this.connection, `${text} The run does not wait for this page.`);
  }

  #handlers() {
    return {
      alive: () => setText(this.connection, ""),
      lost: (ms) => this.#sayLost(`Connection lost; trying again within ${secondsText(ms)}.`),
      silent: (heardAt) =>
        this.#sayLost(`The server is silent since ${clockText(heardAt)}; trying again.`),
      events: (events) => this.#take(events),
    };
  }

  #take(events) {
    for (const event of events) {
      this.#progress.apply(event);
      this.#tell(event, events.length);
    }
    this.log.add(events);
    this.#showProgress();
    if (events.some((event) => event.type === "duty-finished")) this.#page.standing.refresh();
  }

  /** Say aloud what matters; of many events that come together, as after a reload, nothing. */
  #tell(event, together) {
    if (together > 20) return;
    if (event.type === "device-started") announce(`${event.device_type} begun`);
    if (event.type === "duty-finished") announce(`${event.requirement} ${event.outcome}`);
    if (event.type === "person-needed") announce(`A person must act: ${event.reason}`);
    if (event.type === "run-refused") announce(`Nothing was sent: ${event.reason}`);
  }

  #showRun(run) {
    this.#run = run;
    setText(this.connection, "");
    const isRunning = run.state === "running";
    if (isRunning) replaceContents(this.result, verdict("running", resultSentence("running")));
    if (isRunning && run.stoppable) this.stop.hidden = false;
    else this.#hideStop();
    const request = run.request;
    replaceContents(
      this.facts,
      said({
        Rig: code(run.rig),
        Devices: request && (request.devices?.join(", ") || "all of the rig"),
        "For later": request?.execute_at ? instant(request.execute_at) : null,
        "Where anything is missing": request?.all_or_nothing ? "no device is reached" : null,
        Started: instant(run.started_at),
        Took: this.elapsed,
        "Asked for by": run.requested_by ?? "the command line",
        Id: element("code", {}, run.operation_id),
      }),
    );
    this.tick(this.#page.clock.now());
  }

  #showProgress() {
    const progress = this.#progress;
    this.devices.update(progress);
    this.overall.hidden = !progress.duties;
    if (progress.duties) {
      this.bar.max = progress.duties;
      this.bar.value = Math.min(progress.ended() + progress.heldBack, progress.duties);
      const held = progress.heldBack ? `, ${progress.heldBack} not begun` : "";
      setText(
        this.counted,
        `${progress.ended()} of ${count(progress.duties, "duty")} ended${held}`,
      );
    }
    if (progress.stoppedBy && progress.result === null) this.#stopping();
    this.devices.tick(this.#page.clock.now());
  }

  #stopping() {
    this.#hideStop();
    replaceContents(this.result, verdict("running", "The run stops before its next command."));
  }

  /** Take the stop button away; the focus, if it was there, goes to the heading. */
  #hideStop() {
    if (document.activeElement === this.stop) this.heading.focus({ preventScroll: true });
    this.stop.hidden = true;
  }

  #ended() {
    this.stopDialog.close();
    this.#showEnd();
    announce(`Run ended. ${endSentence(this.#page.standing, this.#run, this.#progress)}`);
  }

  #showEnd() {
    const { api, standing } = this.#page;
    const run = this.#run;
    const left = dueRows(standing).filter((row) => row.device.rig === run.rig);
    const sentence = endSentence(standing, run, this.#progress);
    const key = JSON.stringify([run, left, sentence, this.#progress.matters.length]);
    if (key === this.#shownEnd) return;
    this.#shownEnd = key;
    this.overall.hidden = true;
    replaceContents(
      this.result,
      verdict(run.state, sentence),
      run.problem && problemLine(problemOf(run.problem)),
      matterList([...this.#progress.matters, ...notBegunMatters(run)]),
    );
    replaceContents(this.end, evidencePart(api, run), leftPart(left), attemptsPart(run));
  }
}
