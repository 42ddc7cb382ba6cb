/* The agent's API: requests with the token, and its errors as one line for whoever must act. */

const BASE = "/api/v1";
const KEPT_AS = "keyrig-token";
const ANSWER_WITHIN_MS = 30_000;

/** An error that the API answered with. */
export class Problem extends Error {
  constructor(status, document, retryAfterS) {
    const { title, detail, hint, code, operation_id: operationId } = document;
    const said = detail || title || `the agent answers ${status}`;
    super(hint && !said.includes(hint) ? `${said}; ${hint}` : said);
    this.status = status;
    this.title = title || "Refused";
    this.code = code ?? "";
    this.operationId = operationId ?? null;
    this.retryAfterS = retryAfterS;
  }
}

/** The agent cannot be reached. */
export class Unreachable extends Error {
  constructor() {
    super("the agent does not answer; see that it runs and that this device is on its network");
    this.title = "No answer";
  }
}

/** Gives the title and the line of a problem that stands in a document, not in an answer. */
export function problemOf(document) {
  return new Problem(document.status, document, null);
}

/**
 * The API of the agent that this page came from.
 *
 * The token stays in this tab's session storage. An event "refused" says that it does not hold.
 */
export class API extends EventTarget {
  #token = sessionStorage.getItem(KEPT_AS);

  get token() {
    return this.#token;
  }

  /** Use a token from now on, and keep it with this tab. */
  accept(token) {
    this.#token = token;
    sessionStorage.setItem(KEPT_AS, token);
  }

  /** Forget the token. */
  forget() {
    this.#token = null;
    sessionStorage.removeItem(KEPT_AS);
  }

  /** Get a JSON document. */
  async get(path) {
    return (await this.#answered(path, {})).json();
  }

  /** Post a JSON document, and get the one that comes back. */
  async post(path, body) {
    const asked = { method: "POST" };
    if (body !== undefined) {
      asked.body = JSON.stringify(body);
      asked.headers = { "Content-Type": "application/json" };
    }
    return (await this.#answered(path, asked)).json();
  }

  /** Get a file, with the headers that came along. */
  async file(path) {
    const response = await this.#request(path, {});
    try {
      return { blob: await response.blob(), headers: response.headers };
    } catch {
      throw new Unreachable();
    }
  }

  /** Open a stream of events after the last one that was seen; give the response. */
  stream(path, lastId, signal) {
    const headers = { Accept: "text/event-stream" };
    if (lastId) headers["Last-Event-ID"] = lastId;
    return this.#request(path, { headers, signal });
  }

  async #answered(path, asked) {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), ANSWER_WITHIN_MS);
    try {
      const response = await this.#request(path, { ...asked, signal: controller.signal });
      const text = await response.text();
      return { json: () => JSON.parse(text) };
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw new Unreachable();
    } finally {
      clearTimeout(timer);
    }
  }

  async #request(path, { method = "GET", headers = {}, body, signal }) {
    const token = this.#token;
    let response;
    try {
      response = await fetch(BASE + path, {
        method,
        body,
        signal,
        headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        referrerPolicy: "no-referrer",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable();
    }
    if (response.ok) return response;
    const problem = await problemIn(response);
    if (response.status === 401 && token === this.#token) {
      this.dispatchEvent(new CustomEvent("refused", { detail: problem }));
    }
    throw problem;
  }
}

async function problemIn(response) {
  let document = {};
  try {
    document = await response.json();
  } catch {
    // Something between the page and the agent answered, or the answer was cut short.
  }
  const retryAfterS = Number(response.headers.get("Retry-After")) || null;
  return new Problem(response.status, document ?? {}, retryAfterS);
}
