/* The runs that were, newest first, with their reports and evidence. */

import { downloads } from "./downloads.js";
import { element, replaceContents } from "./elements.js";
import { button, code, instant, problemLine, said, stateMark } from "./parts.js";
import { resultSentence } from "./words.js";

const AT_ONCE = 20;

export class RunsView {
  title = "Runs";
  #page;
  #key = "";
  #limit = AT_ONCE;

  constructor(page) {
    this.#page = page;
    this.list = element("div");
    this.more = button("Older runs", () => this.#older(), { id: "runs-older", hidden: true });
    this.section = element(
      "section",
      { "aria-labelledby": "runs-title" },
      element("h1", { id: "runs-title", tabindex: "-1" }, "Runs"),
      element(
        "div",
        { class: "controls" },
        button("Start a run…", () => page.startRun(), { id: "runs-start", class: "main" }),
      ),
      this.list,
      this.more,
    );
  }

  show() {
    this.#key = "";
  }

  async update() {
    try {
      await this.#fetch();
    } catch (error) {
      this.#key = "";
      replaceContents(this.list, problemLine(error));
    }
  }

  tick() {}

  async #fetch() {
    const found = await this.#page.api.get(`/runs?limit=${this.#limit}`);
    this.more.hidden = found.next === null || this.#limit >= 200;
    const key = JSON.stringify(found.runs);
    if (key === this.#key) return;
    this.#key = key;
    replaceContents(
      this.list,
      found.runs.length
        ? found.runs.map((run) => this.#run(run))
        : element("p", {}, "There was no run yet."),
    );
  }

  #older() {
    this.#limit = Math.min(this.#limit * 3, 200);
    this.update();
  }

  #run(run) {
    const id = `run-title-${run.operation_id}`;
    return element(
      "article",
      { class: "run", "aria-labelledby": id },
      element(
        "h2",
        { id },
        element(
          "a",
          { href: `#/run/${run.operation_id}`, id: `open-${run.operation_id}` },
          `Run ${run.operation_id.slice(0, 8)}`,
        ),
        " ",
        stateMark(run.state),
      ),
      said({
        Rig: code(run.rig),
        Started: instant(run.started_at),
        Ended: run.finished_at ? instant(run.finished_at) : "not yet",
        "Asked for by": run.requested_by ?? "the command line",
      }),
      run.problem && problemLine({ title: resultSentence(run.state), message: run.problem.detail }),
      run.state !== "running" && downloads(this.#page.api, run),
    );
  }
}
