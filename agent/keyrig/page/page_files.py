"""The files of the page that the server shows."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.staticfiles import StaticFiles
from typing_extensions import override

if TYPE_CHECKING:
    from starlette.responses import Response

ASK_FIRST: Final = "no-cache"
"""A browser asks before it uses what it has, so that a page never runs with parts of another."""


def page_directory() -> Path:
    """Return the folder of the page's files."""
    return Path(str(resources.files(__package__).joinpath("static")))


class PageFiles(StaticFiles):
    """Serves the page's files, which need no token; the page's requests to the API carry one."""

    def __init__(self) -> None:
        super().__init__(directory=page_directory())

    @override
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = ASK_FIRST
        return response
