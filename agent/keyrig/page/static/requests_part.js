/* Certification requests that wait for an authority: shown, saved as files, and answered. */

import { save } from "./downloads.js";
import { element } from "./elements.js";
import { button, code, deadline, instant, problemLine, stateMark } from "./parts.js";
import { count } from "./times.js";

const SHORT = { digitalSignature: "ds", keyAgreement: "ka" };
const PEM_TYPE = "application/x-pem-file";

/** The requests of a rig's devices, and where what became of certificates given is said. */
export class Certification {
  #page;
  #rig;

  constructor(page, rig) {
    this.#page = page;
    this.#rig = rig;
    this.told = element("div", { role: "status", class: "told" });
    this.file = element("input", {
      type: "file",
      multiple: true,
      hidden: true,
      "aria-label": "Certificates that the authority gave",
      change: () => this.#give(),
    });
    this.button = button("Give certificates…", () => this.file.click(), {
      id: `give-certificates-${rig}`,
    });
    this.count = element("p", {});
    this.box = element(
      "div",
      { role: "group", "aria-label": `Certification on ${rig}` },
      this.count,
      element("div", { class: "buttons" }, this.button, this.file),
      this.told,
    );
  }

  /** Show how many wait; null where none does and nothing is to be read of those that did. */
  show(devices) {
    const waiting = devices.flatMap((device) => device.certification_requests ?? []).length;
    this.button.hidden = !waiting;
    this.count.replaceChildren(
      waiting ? stateMark("waiting", `: ${count(waiting, "certification request")}`) : "",
    );
    return waiting || this.told.childElementCount ? this.box : null;
  }

  /** List the requests of a device; null where none waits. */
  list(device, now) {
    const requests = device.certification_requests ?? [];
    if (!requests.length) return null;
    return element(
      "ul",
      { class: "requests", "aria-label": `Certification requests of ${device.entity_id}` },
      requests.map((request) => this.#request(request, now)),
    );
  }

  #request(request, now) {
    const due = request.due_by && { deadline: request.due_by, state: "waiting" };
    return element(
      "li",
      {},
      element(
        "p",
        {},
        stateMark("waiting"),
        ` for a certificate of its ${request.key_usage} key `,
        code(request.key_identifier),
      ),
      element(
        "dl",
        { class: "said" },
        element("div", {}, element("dt", {}, "Since"), element("dd", {}, instant(request.since))),
        due &&
          element("div", {}, element("dt", {}, "Due"), element("dd", {}, deadline(due, now))),
      ),
      element("p", { class: "small-print" }, request.answer || request.authority),
      button("Save the request", (event) => this.#save(event.currentTarget, request), {
        id: `save-request-${request.key_identifier}`,
        "aria-label": `Save the ${request.key_usage} request ${request.key_identifier}`,
      }),
    );
  }

  get #path() {
    return `/rigs/${encodeURIComponent(this.#rig)}/certification-requests`;
  }

  async #save(pressed, { key_identifier: wanted }) {
    pressed.disabled = true;
    try {
      const { requests } = await this.#page.api.get(this.#path);
      const found = requests.find((request) => request.key_identifier === wanted);
      if (found) save(new Blob([found.pem], { type: PEM_TYPE }), fileName(found));
      this.told.replaceChildren(
        found
          ? element("p", {}, "Saved as ", code(fileName(found)), ".")
          : element("p", {}, `The request ${wanted} waits no more.`),
      );
    } catch (error) {
      this.told.replaceChildren(problemLine(error));
    } finally {
      pressed.disabled = false;
      pressed.focus();
    }
  }

  async #give() {
    const files = [...this.file.files];
    this.file.value = "";
    const parts = [];
    for (const file of files) {
      try {
        const body = { pem: await asText(file) };
        const { certificates } = await this.#page.api.post(`${this.#path}/certificates`, body);
        parts.push(element("p", {}, code(file.name)), outcomes(certificates));
      } catch (error) {
        parts.push(problemLine({ title: `${file.name}: ${error.title}`, message: error.message }));
      }
    }
    this.told.replaceChildren(...parts);
    await this.#page.standing.refresh();
  }
}

/** Give the name under which a request is saved, which is that of its file on the agent. */
export function fileName(request) {
  const stem = request.device.replaceAll("-", "").toLowerCase();
  return `${stem}-${SHORT[request.key_usage]}.${request.key_identifier}.csr.pem`;
}

/** Write a file as text: PEM as it is, anything else as base64. */
export async function asText(file) {
  const octets = new Uint8Array(await file.arrayBuffer());
  const text = Array.from(octets, (octet) => String.fromCharCode(octet)).join("");
  return text.includes("-----BEGIN ") ? text : btoa(text);
}

function outcomes(certificates) {
  return element(
    "ul",
    { class: "matters" },
    certificates.map((each) =>
      element(
        "li",
        {},
        stateMark(each.taken ? "taken" : each.refused ? "refused" : "passed-over"),
        ` ${each.certificate}: ${each.outcome.replace(/^refused: /, "")}`,
      ),
    ),
  );
}
