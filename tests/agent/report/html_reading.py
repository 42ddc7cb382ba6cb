"""Reading an HTML report strictly: every tag closed in its turn, and nothing from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"br", "hr", "link", "meta", "wbr"}


class Page(HTMLParser):
    """What a page holds; raises AssertionError where it is not well formed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.named_by: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> says {names}"
        assert not [name for name in names if name.startswith("on")], f"<{tag}> acts"
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        assert not {"src", "srcset", "action", "data", "style"} & values.keys(), tag
        if "id" in values:
            self.ids.append(values["id"])
        if "href" in values:
            self.links.append(values["href"])
        self.named_by += values.get("aria-labelledby", "").split()
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        """All its text, in one line."""
        return " ".join(" ".join(self.text).split())


def read_page(text: str) -> Page:
    """Read a report, and see that it is well formed and stands on its own."""
    assert text.startswith("<!DOCTYPE html>\n")
    page = Page(text.removeprefix("<!DOCTYPE html>\n"))
    assert len(page.ids) == len(set(page.ids))
    assert set(page.named_by) <= set(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & set(
        page.tags
    )
    for outside in ("http:", "https:", "//", "@import", "javascript:"):
        assert outside not in text.lower()
    for reference in text.split("url(")[1:]:
        assert reference.startswith("#hatch)")
    return page
