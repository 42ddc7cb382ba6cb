/* The page: who may, which view is shown, and what is fetched when. */

import { API, Problem } from "./api.js";
import { DevicesView } from "./devices_view.js";
import { DueView } from "./due_view.js";
import { element, replaceContents, setText } from "./elements.js";
import { problemLine } from "./parts.js";
import { RunView } from "./run_view.js";
import { RunsView } from "./runs_view.js";
import { SignIn } from "./sign_in.js";
import { Standing } from "./standing.js";
import { StartDialog } from "./start_dialog.js";
import { localText, ServerClock, utcText } from "./times.js";
import { UpstreamView } from "./upstream_view.js";

const TICK_MS = 1_000;
const RUN = /^#\/run\/([0-9a-f]{32})$/;

class Page {
  #view = null;
  #main = document.getElementById("main");
  #nav = document.getElementById("views");
  #forget = document.getElementById("forget");
  #notices = document.getElementById("notices");
  #asOf = document.getElementById("as-of");

  constructor() {
    this.clock = new ServerClock();
    this.api = new API();
    this.standing = new Standing(this.api, this.clock);
    this.signIn = new SignIn(this.api, () => this.#enter(true));
    this.startDialog = new StartDialog(this);
    this.run = new RunView(this);
    this.views = {
      "#/due": new DueView(this),
      "#/devices": new DevicesView(this),
      "#/runs": new RunsView(this),
      "#/upstream": new UpstreamView(this),
    };
    this.#listen();
  }

  /** Begin: without a token where the agent wants none, else with the one that this tab has. */
  async begin() {
    this.#showVersion();
    try {
      await this.api.get("/rigs");
      this.#enter();
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        const hadToken = this.api.token !== null;
        this.#leave(
          hadToken ? problemLine({ title: "Wrong token", message: error.message }) : null,
        );
      } else {
        replaceContents(this.#main, problemLine(error));
        setTimeout(() => this.begin(), 3000);
      }
    }
  }

  /** Go to a view by its address, in the part of it that is never sent. */
  goTo(hash) {
    location.hash = hash;
  }

  /** Open the dialog that starts a run. */
  startRun(rigName, entityId) {
    this.startDialog.open(rigName, entityId);
  }

  #listen() {
    this.api.addEventListener("refused", (event) => {
      if (this.#view !== null) {
        this.#leave(
          problemLine({ title: "The token does not hold any more", message: event.detail.message }),
        );
      }
    });
    this.standing.addEventListener("change", () => this.#changed());
    this.#forget.addEventListener("click", () =>
      this.#leave(element("p", {}, "The token is forgotten.")),
    );
    document.getElementById("skip").addEventListener("click", (event) => {
      event.preventDefault();
      this.#main.focus();
    });
    window.addEventListener("hashchange", () => this.#route(true));
    setInterval(() => {
      if (!document.hidden) this.#view?.tick(this.clock.now());
    }, TICK_MS);
  }

  async #showVersion() {
    try {
      setText(document.getElementById("version"), (await this.api.get("/health")).version);
    } catch {
      // What cannot be reached is said by what needs it.
    }
  }

  /** Show what the token lets be seen; whoever gave it by hand is led to the view's heading. */
  async #enter(isByHand = false) {
    this.#forget.hidden = this.api.token === null;
    this.#nav.hidden = false;
    replaceContents(this.#main, element("p", { class: "quiet" }, "Asking the agent…"));
    await this.standing.start();
    if (!this.#nav.hidden) this.#route(isByHand);
  }

  /** Forget the token and everything that it let be seen. */
  #leave(why) {
    this.api.forget();
    this.standing.stop();
    this.standing.clear();
    this.startDialog.close();
    this.run.hide();
    this.#view = null;
    this.#nav.hidden = true;
    this.#forget.hidden = true;
    replaceContents(this.#notices);
    setText(this.#asOf, "");
    document.title = "keyrig: token";
    this.#main.replaceChildren(this.signIn.section);
    this.signIn.open(why);
  }

  #route(isMoved) {
    if (this.#nav.hidden) return;
    const [, runId] = RUN.exec(location.hash) ?? [];
    const hash = runId ? "#/runs" : location.hash in this.views ? location.hash : "#/due";
    const view = runId ? this.run : this.views[hash];
    if (view !== this.#view) this.#view?.hide?.();
    this.#view = view;
    view.show?.(runId);
    view.update();
    document.title = `keyrig: ${view.title}`;
    for (const link of this.#nav.querySelectorAll("a")) {
      if (link.getAttribute("href") === hash) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!this.#main.contains(view.section)) this.#main.replaceChildren(view.section);
    if (isMoved) {
      view.section.querySelector("h1").focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    this.#notify();
  }

  #changed() {
    this.#view?.update();
    this.#notify();
    const { madeAt } = this.standing;
    setText(
      this.#asOf,
      madeAt ? `As of ${localText(madeAt)}, ${utcText(madeAt)}, by the agent’s clock.` : "",
    );
  }

  /** Say above every view what concerns all of them; only where it changed, as it is read out. */
  #notify() {
    const { error } = this.standing;
    const runs = this.standing.underWay().filter((rig) => location.hash !== `#/run/${rig.running}`);
    const key = JSON.stringify([error?.message, runs.map((rig) => rig.running)]);
    if (this.#notices.dataset.key === key) return;
    this.#notices.dataset.key = key;
    replaceContents(
      this.#notices,
      error && problemLine(error),
      runs.map((rig) =>
        element(
          "p",
          { class: "notice" },
          `A run is under way on ${rig.name}. `,
          element(
            "a",
            { class: "tap", id: `watch-${rig.running}`, href: `#/run/${rig.running}` },
            "Watch it",
          ),
        ),
      ),
    );
  }
}

new Page().begin();
