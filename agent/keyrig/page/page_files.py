"""The files of the page that the server shows."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from starlette.responses import Response

ASK_FIRST: Final = "no-cache"
"""A browser asks before it uses what it has, so that a page never runs with parts of another."""


def page_directory() -> Path:
    """Give where the page's files are."""
    return Path(str(resources.files(__package__).joinpath("static")))


class PageFiles(StaticFiles):
    """The files, which need no token; what they show they ask for with one."""

    def __init__(self) -> None:
        super().__init__(directory=page_directory())

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """See `StaticFiles`."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = ASK_FIRST
        return response
