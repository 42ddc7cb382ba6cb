/* Server-Sent Events over fetch, which can show a token where an EventSource cannot. */

const FIRST_SILENCE_MS = 45_000;
const LEAST_SILENCE_MS = 3_000;
const FIRST_DELAY_MS = 2_000;
const LONGEST_DELAY_MS = 15_000;
const LAST_EVENT = "operation-finished";

/** Takes a stream's text apart. Source: WHATWG HTML, 9.2.6. */
export class EventParser {
  #rest = "";
  #event = "";
  #data = [];
  #id = "";

  /** Take a piece of the stream; give what it completes: messages, heartbeats and retry times. */
  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter((found) => found !== null);
  }

  #line(line) {
    if (line === "") return this.#message();
    if (line.startsWith(":")) return { kind: "heartbeat" };
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) return { kind: "retry", ms: Number(value) };
    return null;
  }

  #message() {
    const found = this.#data.length
      ? {
          kind: "message",
          event: this.#event || "message",
          id: this.#id,
          data: this.#data.join("\n"),
        }
      : null;
    this.#event = "";
    this.#data = [];
    this.#id = "";
    return found;
  }
}

/**
 * Follow a run's events to its end, through lost connections and a server that starts anew.
 *
 * After each interruption it goes on from the last event seen. `handlers` are told of `events`
 * (those that came together), `alive`, `lost` (with the wait before the next try) and `silent`.
 *
 * Returns when the last event came, or it was aborted. Throws a Problem that will not pass by
 * waiting.
 */
export class Follower {
  #lastId = "";
  #heardAt = Date.now();
  #delayMs = FIRST_DELAY_MS;
  #baseDelayMs = FIRST_DELAY_MS;
  #silenceMs = FIRST_SILENCE_MS;
  #lastWasHeartbeat = false;
  #hasEnded = false;
  #wasSilent = false;

  constructor(api, path, handlers, signal) {
    this.api = api;
    this.path = path;
    this.handlers = handlers;
    this.signal = signal;
  }

  async follow() {
    while (!this.signal.aborted && !this.#hasEnded) {
      try {
        await this.#once();
      } catch (error) {
        if (this.signal.aborted) return;
        if (error.status && error.status < 500 && error.status !== 429) throw error;
        if (error.retryAfterS) this.#delayMs = error.retryAfterS * 1000;
      }
      if (this.#hasEnded || this.signal.aborted) return;
      // Where nothing came for long enough, there was waiting enough.
      if (this.#wasSilent) continue;
      this.handlers.lost(this.#delayMs);
      await this.#pause(this.#delayMs);
      this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS);
    }
  }

  /** Hold one connection until it ends, or nothing has come over it for too long. */
  async #once() {
    const connection = new AbortController();
    const abort = () => connection.abort();
    this.signal.addEventListener("abort", abort);
    let openedAt = Date.now();
    this.#wasSilent = false;
    const watch = setInterval(() => {
      const silentMs = Date.now() - Math.max(this.#heardAt, openedAt);
      if (silentMs < this.#silenceMs) return;
      this.#wasSilent = true;
      this.handlers.silent(this.#heardAt);
      connection.abort();
    }, 500);
    try {
      const response = await this.api.stream(this.path, this.#lastId, connection.signal);
      if (response.status === 204) {
        this.#hasEnded = true;
        return;
      }
      this.#heard();
      openedAt = this.#heardAt;
      await this.#read(response.body.getReader());
    } finally {
      clearInterval(watch);
      this.signal.removeEventListener("abort", abort);
      connection.abort();
    }
  }

  async #read(reader) {
    const decoder = new TextDecoder();
    const parser = new EventParser();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const found = parser.feed(decoder.decode(value, { stream: true }));
      this.#learnSilence(found);
      this.#heard();
      this.#take(found);
      if (this.#hasEnded) return;
    }
  }

  #take(found) {
    for (const each of found) if (each.kind === "retry") this.#baseDelayMs = each.ms;
    // What has no id is no event of the run: it tells why the stream ends.
    const messages = found.filter((each) => each.kind === "message" && each.id);
    if (!messages.length) return;
    this.#delayMs = this.#baseDelayMs;
    this.#lastId = messages.at(-1).id;
    this.#hasEnded = messages.some((message) => message.event === LAST_EVENT);
    this.handlers.events(messages.map((message) => eventOf(message)));
  }

  #heard() {
    this.#heardAt = Date.now();
    this.handlers.alive();
  }

  /** Two heartbeats in a row say how often they come; three that are missing are silence. */
  #learnSilence(found) {
    const isHeartbeat = found.length > 0 && found.every((each) => each.kind === "heartbeat");
    if (isHeartbeat && this.#lastWasHeartbeat) {
      this.#silenceMs = Math.max(3 * (Date.now() - this.#heardAt), LEAST_SILENCE_MS);
    }
    if (found.length) this.#lastWasHeartbeat = isHeartbeat;
  }

  /** Wait before the next try; a network that comes back, or a person who looks, ends it. */
  #pause(ms) {
    return new Promise((resolve) => {
      const go = () => {
        clearTimeout(timer);
        window.removeEventListener("online", go);
        document.removeEventListener("visibilitychange", go);
        this.signal.removeEventListener("abort", go);
        resolve();
      };
      const timer = setTimeout(go, ms);
      window.addEventListener("online", go);
      document.addEventListener("visibilitychange", go);
      this.signal.addEventListener("abort", go);
    });
  }
}

function eventOf(message) {
  try {
    return { type: message.event, ...JSON.parse(message.data) };
  } catch {
    return { type: message.event };
  }
}
