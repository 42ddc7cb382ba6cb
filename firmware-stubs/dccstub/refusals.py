"""A request that the DCC refuses, with the response code that says why."""

from __future__ import annotations

from gbcs.errors import KeyrigError


class Refused(KeyrigError):  # noqa: N818 - the field's word; the base says it is an error
    """A request is refused.

    Args:
        response_code: What the user is told.
        reason: Why, for the stand-in's own log.
    """

    def __init__(self, response_code: str, reason: str) -> None:
        super().__init__(f"{response_code}: {reason}")
        self.response_code = response_code
