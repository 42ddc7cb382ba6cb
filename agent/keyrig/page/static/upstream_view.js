/* What the systems above were told, in short. */

import { element, replaceContents } from "./elements.js";
import { code, instant, said, stateMark } from "./parts.js";
import { count } from "./times.js";

export class UpstreamView {
  title = "Upstream";
  #page;

  constructor(page) {
    this.#page = page;
    this.list = element("div");
    this.section = element(
      "section",
      { "aria-labelledby": "upstream-title" },
      element("h1", { id: "upstream-title", tabindex: "-1" }, "Upstream"),
      this.list,
    );
  }

  update() {
    const { upstreams } = this.#page.standing;
    if (upstreams === null) {
      replaceContents(
        this.list,
        element(
          "p",
          {},
          "The agent does not say how its upstreams stand; see ",
          element("code", {}, "keyrig outbox"),
          ".",
        ),
      );
    } else if (!upstreams.length) {
      replaceContents(
        this.list,
        element(
          "p",
          {},
          "No upstream stands in the settings: outcomes are kept in the ledger, and nobody is told.",
        ),
      );
    } else
      replaceContents(
        this.list,
        upstreams.map((upstream) => shown(upstream)),
      );
  }

  tick() {}
}

/** Give how many events are still to be told, over every upstream. */
export function unreported(upstreams) {
  return (upstreams ?? []).reduce((sum, upstream) => sum + upstream.waiting, 0);
}

function shown(upstream) {
  return element(
    "article",
    {},
    element("h2", {}, upstream.name),
    element(
      "p",
      {},
      upstream.waiting
        ? stateMark("waiting", `: ${count(upstream.waiting, "event")} to be told`)
        : stateMark("done", ": nothing waits"),
    ),
    upstream.stopped &&
      element("p", { class: "problem" }, element("strong", {}, "Stopped; a person must act.")),
    said({
      "Told how": [upstream.kind, " ", code(upstream.address ?? "")],
      "Waiting since": upstream.oldest_waiting_at && instant(upstream.oldest_waiting_at),
      Parked: upstream.parked ? `${upstream.parked}; see keyrig outbox` : null,
      "Held back behind those": upstream.held_back || null,
      "Last told": upstream.last_told_at ? instant(upstream.last_told_at) : "nothing yet",
      "Went wrong":
        upstream.last_error &&
        (upstream.failures > 1
          ? `${upstream.last_error} (${upstream.failures} times in a row)`
          : upstream.last_error),
      "Tried next": upstream.waiting && upstream.retry_at ? instant(upstream.retry_at) : null,
    }),
  );
}
