"""Response codes: what each means, and what kind of outcome it tells of.

The schema lists the codes and says nothing of their meaning. The texts of the general codes are
from a public description; those of most others stand in the DUIS tables, which are not to hand.

Source: DUIS XML schema 5.4, `ResponseCode`.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from duis.simple_types import TextType, require_type

_FORM: Final = re.compile("[IWE][0-9]{1,6}")


class Outcome(enum.Enum):
    """Kind of outcome that a response code stands for."""

    SUCCESS = "success"
    ACKNOWLEDGED = "acknowledged"
    WARNING = "warning"
    ERROR = "error"


ACKNOWLEDGED: Final = "I99"
SUCCESS: Final = "I0"

MEANINGS: Final = {
    "I0": "success",
    "I99": "acknowledged; the outcome follows",
    "E1": "the user or its role is not valid",
    "E2": "a user of this role cannot send this request",
    "E3": "the user's status does not allow it",
    "E4": "the user's role is not authorised for the device at that time",
    "E5": "the device's SMI Status does not go with this request",
    "E11": "the request does not go with the type of the device",
    "E12": "the request does not go with the command variant",
    "E13": "sent to the wrong web service",
    "E17": "not available as a command for local delivery",
    "E19": "the device is not known",
    "E20": "the device cannot be reached",
    "E21": "the device did not answer",
    "E30": "a future dated request timed out",
}
"""The codes whose meaning is known."""

_GENERAL: Final = (
    "E31 E40 E41 E42 E43 E44 E45 E46 E47 E48 E49 E50 E51 E52 E53 E54 E55 E56 E57 E58 E59 E60 E61 "
    "E62 E63 E64 E65 E66 E67 E68 E69 E70 E71 E100 E1000 E1001 E1003 E1004 E1006 E1007 E1008 E1010 "
    "E1011"
)
_OF_REQUESTS: Final = {
    "0101": "01 02",
    "0102": "01",
    "0303": "01 02",
    "0401": "01",
    "0417": "01",
    "0501": "01 02 03 05 07 08 09 10 11 12",
    "0502": "01 02",
    "0503": "01 02",
    "0605": "01 02",
    "0607": "01",
    "0608": "01 02 03",
    "0613": "01 04 05",
    "0615": "01 04 05 06 07 08 09",
    "0618": "01 02 03",
    "0621": "01 02 03 05",
    "0622": "01 02 03",
    "0623": "01 02 03 04 05 06",
    "0624": "01 02 03",
    "0628": "01 02 03",
    "0802": "01 02",
    "0803": "01 02",
    "0804": "05 06 07 08 09 10 11 12 13 14 15",
    "0805": "01 02 03",
    "0806": "01 02 04 06 07",
    "0807": "02 21 22 23",
    "0808": "01 21 22",
    "0809": "01 02 03",
    "0811": "01 02 04 05 06 07 08 09 10 11",
    "0812": "02 04 05 21 22 23",
    "0813": "01 02 03",
    "0814": "01 02 05 06",
    "1101": "01 02 03 05 06",
    "1104": "01 02 03 05",
    "1201": "01 02 03",
    "1202": "01 03 04 07",
}
"""The codes that are particular to a service reference, of which the first four digits tell."""

_WARNINGS: Final = "W050201 W050301 W081401 W110101 W110401"

CODES: Final = frozenset(
    {
        *MEANINGS,
        *_GENERAL.split(),
        *_WARNINGS.split(),
        *(f"E{of}{number}" for of, numbers in _OF_REQUESTS.items() for number in numbers.split()),
    }
)
"""Every code that DUIS 5.4 has."""


def outcome_of(code: str) -> Outcome:
    """Return the kind of outcome that a code stands for."""
    if code == ACKNOWLEDGED:
        return Outcome.ACKNOWLEDGED
    return {"I": Outcome.SUCCESS, "W": Outcome.WARNING}.get(code[:1], Outcome.ERROR)


def meaning_of(code: str) -> str:
    """Return the meaning of a code in words, or as much of it as the code's form shows."""
    if code in MEANINGS:
        return MEANINGS[code]
    if len(code) == 7:
        reference = f"{int(code[1:3])}.{int(code[3:5])}"
        return f"{outcome_of(code).value} particular to service reference {reference}"
    return f"{outcome_of(code).value} whose meaning is not known here"


class ResponseCode(TextType[str]):
    """A response code; one that DUIS 5.4 lacks can be read, as later versions add some."""

    def check(self, value: str) -> None:
        """Check the form."""
        require_type(value, str, "text")
        if not _FORM.fullmatch(value):
            raise ValueError("not a response code such as I0 or E061501")

    def write(self, value: str) -> str:
        """Return it unchanged."""
        return value

    def read(self, text: str) -> str:
        """Read it."""
        self.check(text := text.strip())
        return text


RESPONSE_CODE: Final = ResponseCode()
