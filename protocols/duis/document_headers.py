"""Who asks whom for what: request identifiers and the headers of requests and responses.

Source: DUIS XML schema 5.4, `Request/Header` and `Response/Header`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - read by whoever looks at the fields' types
from typing import Final

from duis.response_codes import RESPONSE_CODE, Outcome, meaning_of, outcome_of
from duis.service_references import (
    SERVICE_REFERENCE_VARIANT,
    CommandVariant,
    service_reference_of,
)
from duis.simple_types import BOOLEAN, INSTANT, Named, TextType, require_type
from duis.xml_elements import element, structure
from gbcs.entity_identifier import EntityIdentifier

__all__ = [
    "COUNTER_MAXIMUM",
    "REQUEST_ID",
    "CommandVariant",
    "RequestHeader",
    "RequestIdentifier",
    "ResponseHeader",
]

COUNTER_MAXIMUM: Final = 2**64 - 1

_PAIRS: Final = "(?:[0-9A-Fa-f]{2}-){7}[0-9A-Fa-f]{2}"
_REQUEST_ID: Final = re.compile(f"({_PAIRS}):({_PAIRS}):(0|[1-9][0-9]{{0,19}})")


@dataclass(frozen=True, slots=True)
class RequestIdentifier:
    """Identifies a request, and a response where originator and target change places.

    Args:
        originator: Who sends it.
        target: Whom it is for; the DCC's own identifier where no device is involved.
        counter: The originator counter, 0 to 2^64 - 1.

    Raises:
        ValueError: The counter is beyond its limits.
    """

    originator: EntityIdentifier
    target: EntityIdentifier
    counter: int

    def __post_init__(self) -> None:
        if not 0 <= self.counter <= COUNTER_MAXIMUM:
            raise ValueError(f"an originator counter is 0 to 2^64 - 1, not {self.counter}")

    @classmethod
    def parse(cls, text: str) -> RequestIdentifier:
        """Read originator:target:counter.

        Raises:
            ValueError: `text` has another form.
        """
        found = _REQUEST_ID.fullmatch(text.strip())
        if not found:
            raise ValueError("not a request identifier (form originator:target:counter)")
        originator, target, counter = found.groups()
        return cls(EntityIdentifier.parse(originator), EntityIdentifier.parse(target), int(counter))

    def answered(self) -> RequestIdentifier:
        """Return the identifier of the response: originator and target change places."""
        return RequestIdentifier(self.target, self.originator, self.counter)

    def __str__(self) -> str:
        return f"{self.originator}:{self.target}:{self.counter}"


class _RequestID(TextType[RequestIdentifier]):
    """A request identifier."""

    def check(self, value: RequestIdentifier) -> None:
        require_type(value, RequestIdentifier, "a RequestIdentifier")

    def write(self, value: RequestIdentifier) -> str:
        return str(value)

    def read(self, text: str) -> RequestIdentifier:
        return RequestIdentifier.parse(text)


REQUEST_ID: Final = _RequestID()
_COMMAND_VARIANT: Final = Named({str(int(variant)): variant for variant in CommandVariant})


@structure
class RequestHeader:
    """The header of a request."""

    request_id: RequestIdentifier = element("RequestID", REQUEST_ID)
    first_in_sequence: bool | None = element("FirstInSequence", BOOLEAN, default=None)
    preceding_service_request_id: RequestIdentifier | None = element(
        "PrecedingServiceRequestID", REQUEST_ID, default=None
    )
    command_variant: CommandVariant = element("CommandVariant", _COMMAND_VARIANT)
    service_reference_variant: str = element("ServiceReferenceVariant", SERVICE_REFERENCE_VARIANT)

    @property
    def service_reference(self) -> str:
        """The service reference of the variant, such as 6.15 of 6.15.1."""
        return service_reference_of(self.service_reference_variant)


@structure
class ResponseHeader:
    """The header of a response or alert."""

    request_id: RequestIdentifier | None = element("RequestID", REQUEST_ID, default=None)
    response_id: RequestIdentifier | None = element("ResponseID", REQUEST_ID, default=None)
    response_code: str = element("ResponseCode", RESPONSE_CODE)
    response_date_time: datetime = element("ResponseDateTime", INSTANT)

    @property
    def outcome(self) -> Outcome:
        """The kind of outcome that the response code stands for."""
        return outcome_of(self.response_code)

    @property
    def meaning(self) -> str:
        """The meaning of the response code, as far as it is known."""
        return meaning_of(self.response_code)
