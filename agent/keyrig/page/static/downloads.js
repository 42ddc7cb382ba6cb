/* Evidence and reports of a run, fetched with the token and handed over as files. */

import { element } from "./elements.js";
import { button, code, problemLine } from "./parts.js";

const FILES = [
  { name: "Evidence", path: "evidence", suffix: "evidence" },
  { name: "Report (HTML)", path: "report?format=html", suffix: "html" },
  { name: "Report (JSON)", path: "report?format=json", suffix: "json" },
  { name: "Report (JUnit)", path: "report?format=junit", suffix: "xml" },
];
const KEEP_MS = 60_000;

/** Give the buttons that download what there is of a run, and where errors of it are shown. */
export function downloads(api, run) {
  const told = element("div", { role: "status", class: "told" });
  const buttons = FILES.map((file) =>
    button(
      file.name,
      async (event) => {
        const pressed = event.currentTarget;
        pressed.disabled = true;
        told.replaceChildren();
        try {
          told.replaceChildren(...(await fetchFile(api, run, file)));
        } catch (error) {
          told.replaceChildren(problemLine(error));
        } finally {
          pressed.disabled = false;
          pressed.focus();
        }
      },
      { "aria-label": `${file.name} of run ${run.operation_id.slice(0, 8)}` },
    ),
  );
  return element(
    "div",
    { class: "downloads", role: "group", "aria-label": "Downloads" },
    element("div", { class: "buttons" }, buttons),
    told,
  );
}

/** Give the name under which a file of a run is saved. */
export function fileName(run, suffix) {
  const at = run.started_at.replace(/\..*|[+Z].*$/g, "").replaceAll(/[-:]/g, "");
  const rig = run.rig.replaceAll(/[^A-Za-z0-9._@-]/g, "_").replace(/^\.+/, "");
  return `keyrig-${rig || "rig"}-${at}Z-${run.operation_id.slice(0, 8)}.${suffix}`;
}

/** Have the browser save a file. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  // The browser reads it after the click; how soon, nobody says.
  setTimeout(() => URL.revokeObjectURL(address), KEEP_MS);
}

async function fetchFile(api, run, file) {
  const { blob, headers } = await api.file(`/runs/${run.operation_id}/${file.path}`);
  const name = fileName(run, file.suffix);
  save(blob, name);
  const key = headers.get("X-Evidence-Key");
  return [
    element("p", {}, "Saved as ", code(name), "."),
    key &&
      element(
        "p",
        { class: "small-print" },
        "Sealed with the key of SHA-256 ",
        element("code", {}, key),
        "; give that to whoever checks it, by another way.",
      ),
  ].filter(Boolean);
}
