from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from keyrig.page.page_files import page_directory
from patience import HANG_S

if TYPE_CHECKING:
    from agent.api.serving import Serving


def test_page_needs_no_token_and_a_browser_asks_before_it_uses_what_it_has(
    served: Serving,
) -> None:
    paths = ["/", *(f"/page/{path.name}" for path in page_directory().iterdir())]
    types = {"js": "javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
    with httpx.Client(base_url=served.url, timeout=HANG_S) as stranger:
        for path in paths:
            answer = stranger.get(path)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
            suffix = path.rpartition(".")[2] if path != "/" else "html"
            assert types[suffix] in answer.headers["content-type"], path
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            tag = {"If-None-Match": answer.headers["etag"]}
            if path != "/":
                assert stranger.get(path, headers=tag).status_code == 304


@pytest.mark.parametrize(
    "path", ["/page/", "/page/nothing.js", "/page/../page_files.py", "/page/%2e%2e/page_files.py"]
)
def test_nothing_else_is_given_under_the_pages_paths(served: Serving, path: str) -> None:
    with httpx.Client(base_url=served.url, timeout=HANG_S) as stranger:
        answer = stranger.get(path)
    assert answer.status_code in {401, 404}
    assert answer.headers["content-type"] == "application/problem+json"
