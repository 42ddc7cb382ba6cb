/* Asks for the token. */

import { element, replaceContents } from "./elements.js";
import { problemLine } from "./parts.js";

const TOKEN = /^[\x21-\x7e]+$/;

export class SignIn {
  #accepted;
  #api;

  /** @param accepted is called once a token holds. */
  constructor(api, accepted) {
    this.#api = api;
    this.#accepted = accepted;
    this.told = element("div", { role: "alert", id: "token-told" });
    // The field has no name, so that no form data could ever carry it into an address.
    this.field = element("input", {
      type: "password",
      id: "token",
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
      required: true,
      "aria-describedby": "token-hint token-told",
    });
    this.send = element("button", { type: "submit", id: "token-use", class: "main" }, "Use token");
    this.section = element(
      "section",
      { "aria-labelledby": "token-title" },
      element("h1", { id: "token-title", tabindex: "-1" }, "Token"),
      element(
        "form",
        { submit: (event) => this.#submitted(event) },
        element(
          "div",
          { class: "field" },
          element("label", { for: "token" }, "Token of this agent"),
          this.field,
        ),
        element(
          "p",
          { id: "token-hint", class: "small-print" },
          "Made on the agent with ",
          element("code", {}, "keyrig token create"),
          ". It is kept with this tab until the tab is closed.",
        ),
        this.told,
        this.send,
      ),
    );
  }

  /** Show it, with a word of why. */
  open(content) {
    replaceContents(this.told, content ?? []);
    this.field.value = "";
    this.field.removeAttribute("aria-invalid");
    this.send.disabled = false;
    this.field.focus();
  }

  async #submitted(event) {
    event.preventDefault();
    const token = this.field.value.trim();
    if (!TOKEN.test(token)) {
      this.#refuse({
        title: "No token",
        message: "a token is one word of letters, digits and signs",
      });
      return;
    }
    this.send.disabled = true;
    this.#api.accept(token);
    try {
      await this.#api.get("/rigs");
    } catch (error) {
      this.#api.forget();
      this.#refuse(error.status === 401 ? { title: "Wrong token", message: error.message } : error);
      return;
    }
    this.field.value = "";
    this.#accepted();
  }

  #refuse(error) {
    this.send.disabled = false;
    const wait = error.retryAfterS ? ` (wait ${error.retryAfterS} s)` : "";
    replaceContents(this.told, problemLine({ title: error.title, message: error.message + wait }));
    this.field.setAttribute("aria-invalid", "true");
    this.field.focus();
    this.field.select();
  }
}
