/* The words and signs of states; a sign says nothing that the word beside it does not. */

const SIGNS = {
  done: "✓",
  failed: "✕",
  due: "○",
  overdue: "!",
  scheduled: "◷",
  "awaiting-commissioning": "…",
  exempt: "−",
  void: "−",
  "not-ours": "−",
  running: "▸",
  "needs-person": "!",
  interrupted: "◫",
  error: "✕",
  "under way": "▸",
  waiting: "◔",
  "to come": "○",
  "not begun": "○",
  taken: "✓",
  refused: "✕",
  "passed-over": "−",
};

/** States in which a duty is still to be done, or its end is awaited. */
const OPEN_STATES = new Set(["due", "failed", "scheduled", "waiting"]);

/** Give the sign of a state. */
export function signOf(state) {
  return SIGNS[state] ?? "·";
}

/** Write a state, a step or a type of event as words. */
export function wordsOf(name) {
  return String(name).replaceAll(/[-_]/g, " ");
}

/** Say whether a duty belongs on the list of what is due. */
export function isOpen(duty) {
  return OPEN_STATES.has(duty.state) || duty.overdue;
}

/** Say how a run ended, in one sentence; `unreported` counts what upstreams were not told. */
export function resultSentence(state, { stoppedBy = null, unreported = 0 } = {}) {
  if (state === "done" && unreported) {
    return "Done, but not reported upstream yet.";
  }
  if (state === "interrupted" && stoppedBy) {
    return `Stopped by ${stoppedBy}. The next run goes on where it stood.`;
  }
  return (
    {
      running: "The run is under way.",
      done: "Done: all that was due is done.",
      failed: "Failed: a duty failed, or a device was refused.",
      "needs-person": "A person must act.",
      interrupted: "Interrupted before its end. The next run goes on where it stood.",
      error: "Ended with an error.",
    }[state] ?? wordsOf(state)
  );
}
