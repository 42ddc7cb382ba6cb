/* Elements of the page. Text is only ever put in as text: nothing here reads markup. */

/**
 * Make an element.
 *
 * A function among the attributes is a listener of the event that it is named after; null,
 * undefined and false leave an attribute out.
 */
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key, value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...nodes(children));
  return made;
}

/** Put other children into a container; what was open stays open, and the focus where it was. */
export function replaceContents(container, ...children) {
  const focused = container.contains(document.activeElement) ? document.activeElement.id : "";
  const open = new Set(
    [...container.querySelectorAll("details[open][id]")].map((details) => details.id),
  );
  container.replaceChildren(...nodes(children));
  for (const details of container.querySelectorAll("details[id]")) {
    if (open.has(details.id)) details.open = true;
  }
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** Set a text where it is another one, so that nothing is announced or painted for nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}
