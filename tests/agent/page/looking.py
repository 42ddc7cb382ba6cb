"""What can be measured of a page by its looks: contrast, sizes, names."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agent.page.browsing import Browser

TARGET_PX: Final = 44
_LOW_CONTRAST: Final = """
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) =>
  0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parts = (text) => text.match(/[\\d.]+/g).map(Number);
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const [r, g, b, alpha = 1] = parts(getComputedStyle(at).backgroundColor);
    if (alpha === 1) return [r, g, b];
  }
  return parts(getComputedStyle(document.body).backgroundColor);
};
const found = [];
const top = document.querySelector("dialog[open]") ?? document.body;
const walker = document.createTreeWalker(top, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
  const style = getComputedStyle(node);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const [a, b] = [luminance(parts(style.color)), luminance(ground(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < (isLarge ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${walker.currentNode.data}`);
}
return found;
"""
_SMALL_TARGETS: Final = """
const top = document.querySelector("dialog[open]") ?? document.body;
const found = [];
for (const node of top.querySelectorAll("a, button, select, input, summary")) {
  if (!node.checkVisibility() || node.id === "skip") continue;
  const target = node.matches("[type=checkbox], [type=radio]") ? node.closest("label") : node;
  const { width, height } = target.getBoundingClientRect();
  if (width < arguments[0] || height < arguments[0]) {
    found.push(`${node.tagName} ${node.textContent || node.id}: ${width} x ${height}`);
  }
}
return found;
"""
_WIDE: Final = """
const found = [...document.querySelectorAll("body *")].filter((node) =>
  node.checkVisibility() && node.getBoundingClientRect().right > innerWidth + 0.5 &&
  !node.closest(".unseen, .skip, thead"));
return [document.documentElement.scrollWidth, innerWidth, found.map((node) => node.outerHTML)];
"""
_REPEATED_IDS: Final = """
const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
return ids.filter((id, index) => ids.indexOf(id) !== index);
"""
_HEADINGS: Final = """
const top = document.querySelector("dialog[open]") ?? document.body;
return [...top.querySelectorAll("h1, h2, h3, h4")].filter((node) => node.checkVisibility())
  .map((node) => Number(node.tagName[1]));
"""


def assert_reads_well(browser: Browser) -> None:
    """See that all text that is shown stands out from its ground as WCAG AA wants."""
    assert browser.run(_LOW_CONTRAST) == []


def assert_fits(browser: Browser) -> None:
    """See that nothing reaches beyond the screen, and that fingers find what can be pressed."""
    width, screen, beyond = browser.run(_WIDE)
    assert (width <= screen, beyond) == (True, [])
    assert browser.run(_SMALL_TARGETS, TARGET_PX) == []


def assert_is_told(browser: Browser) -> None:
    """See that whoever hears the page knows where they are and what each control does."""
    assert browser.run(_REPEATED_IDS) == []
    levels: list[int] = browser.run(_HEADINGS)
    assert all(later <= before + 1 for before, later in itertools.pairwise(levels))
    for node in accessible(browser):
        if node["focusable"] and node["role"] not in {"RootWebArea", "main", "heading"}:
            assert node["name"], node


def accessible(browser: Browser) -> list[dict[str, Any]]:
    """Give what is told of the page to assistive technology: role, name, whether focusable."""
    browser.command("Accessibility.enable")
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    browser.command("Accessibility.disable")
    return [
        {
            "role": node["role"]["value"],
            "name": node.get("name", {}).get("value", ""),
            "focusable": any(
                each["name"] == "focusable" and each["value"]["value"]
                for each in node.get("properties", [])
            ),
        }
        for node in nodes
        if not node["ignored"]
    ]
