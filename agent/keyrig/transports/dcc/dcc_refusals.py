"""What a person can do about each response code by which the DCC refuses a request.

A refusal is no failure of the device: the device was never asked. The meanings of the general
codes are from a public description; those of the others are in tables that are not public.
"""

from __future__ import annotations

from typing import Final

from duis.response_codes import meaning_of
from keyrig.base.errors import ServiceRefused

NO_RESPONSE: Final = frozenset({"E20", "E21", "E30"})
"""The DCC asked, and the device did not answer; it may have executed the command."""

INCOMPATIBLE_STATUS: Final = "E5"

_USERS: Final = "see that the party that acts, and dcc_boxed.signer, are Users of that role there"
_DEVICE: Final = "see that the rig file has the device's type and Entity Identifier right"
_MENDS: Final = {
    "E1": _USERS,
    "E2": _USERS,
    "E3": _USERS,
    "E4": "see that the rig file names the party that is responsible for the device today",
    INCOMPATIBLE_STATUS: (
        "a device that is suspended under H5.34(a) or H5.38(a) may be refused the very requests "
        "by which H5.34(b) and H5.38(b) have its steps tried again: have its SMI Status restored, "
        "or reach it by a line"
    ),
    "E11": _DEVICE,
    "E12": "tell keyrig's authors: the command variant does not go with the request",
    "E13": "see that dcc_boxed.duis_port is that of the DUIS services",
    "E17": "reach the device by a line",
    "E19": _DEVICE,
}
_OTHERWISE: Final = "look the code up in the DUIS tables"


def is_no_response(code: str) -> bool:
    """Return True if a code means that the device gave no response."""
    return code in NO_RESPONSE


def refused(what: str, code: str) -> ServiceRefused:
    """Return the error for a request that the DCC refuses with a code.

    Args:
        what: The request, for people.
        code: The response code.
    """
    return ServiceRefused(
        what, response_code=code, reason=meaning_of(code), mend=_MENDS.get(code, _OTHERWISE)
    )
