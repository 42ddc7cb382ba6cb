"""The three DUIS web services of DCC Boxed.

Source: the paths as the DCC's public clients for DCC Boxed use them.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from gbcs.printable import printable
from keyrig.base.errors import DCCUnreachable, ServiceRefused

if TYPE_CHECKING:
    from keyrig.base.http_client import HTTPClient

_OK: Final = 200
_SERVER_ERRORS: Final = 500
_REASON_CHARACTERS: Final = 160


class WebService(enum.Enum):
    """A web service; the value is the end of its path."""

    TRANSFORM = "serviceT"
    """Returns the pre-command of a critical request."""
    SEND = "serviceS"
    """Sends a command; the device's answer comes later, to the receiver."""
    NON_DEVICE = "serviceD"
    """Answers without the device."""

    @property
    def path(self) -> str:
        """Its path on the server."""
        return f"/api/v1/{self.value}"


class DUISClient:
    """Posts service requests, and returns the answers on their connections.

    Args:
        http: Reaches the server.
    """

    def __init__(self, http: HTTPClient) -> None:
        self._http = http

    def post(self, service: WebService, document: bytes, what: str) -> bytes:
        """Post a signed request; return the document that answers it, not verified.

        Args:
            service: The web service.
            document: The request.
            what: The request, for people.

        Raises:
            DCCUnreachable: No answer came; says whether the request may have arrived.
            ServiceRefused: The server rejects the document.
        """
        answer = self._http.post(service.path, document)
        if answer.status >= _SERVER_ERRORS:
            raise DCCUnreachable(
                service.value, f"it answers HTTP {answer.status}", may_have_arrived=True
            )
        if answer.status != _OK:
            shown = printable(answer.octets.decode("utf-8", "replace"), _REASON_CHARACTERS)
            raise ServiceRefused(
                what,
                response_code=f"HTTP {answer.status}",
                reason=shown or "no reason given",
                mend="see that the signing certificate is known there, and the address is right",
            )
        if answer.content_type != "application/xml":
            found = printable(answer.content_type, 40) or "nothing"
            raise DCCUnreachable(
                service.value,
                f"it answers with {found}, where application/xml is expected",
                may_have_arrived=True,
            )
        return answer.octets
