"""Responses and alerts of the DCC, built and read.

Source: DUIS XML schema 5.4, `Response` and `ResponseMessage`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lxml import etree

from duis.alert_messages import DCCAlertMessage, DeviceAlertMessage
from duis.document_headers import ResponseHeader
from duis.dsp_inventory import DSPInventory
from duis.duis_enumerations import FREE_TEXT
from duis.response_codes import CODES
from duis.service_references import (
    SERVICE_REFERENCE_VARIANT,
    Referenced,
    service_reference_of,
)
from duis.simple_types import OCTETS, UNSIGNED_SHORT, Named
from duis.xml_documents import SCHEMA_VERSION, named, new_document, octets_of, read_document
from duis.xml_elements import Document, OneOf, Simple, Structure, Unmodelled, element, structure
from gbcs.protocol_errors import LocalProtocolError

if TYPE_CHECKING:
    from duis.xml_documents import Parts

__all__ = [
    "DCCAlertMessage",
    "DSPInventory",
    "DeviceAlertMessage",
    "FutureDatedDeviceAlertMessage",
    "LocalCommand",
    "PreCommand",
    "Response",
    "ResponseHeader",
    "ResponseMessage",
    "build_response",
    "parse_response",
]

_FUTURE_DATED_ALERT_CODE: Final = Named({"8F66": 0x8F66, "8F67": 0x8F67})
"""Of a future dated command that was carried out, and of one that was not."""


@structure
class PreCommand:
    """The GBCS command that a critical request became, for its user to sign."""

    gbcs_version: str = element("GBCSVersion", FREE_TEXT)
    gbcs_payload: bytes = element("GBCSPayload", OCTETS)


@structure
class LocalCommand:
    """A GBCS command that is complete, to be delivered to the device locally."""

    gbcs_payload: bytes = element("GBCSPayload", OCTETS)


@structure
class ResponseMessage:
    """The GBCS message with which a device answered."""

    gbcs_payload: bytes = element("GBCSPayload", OCTETS)


@structure
class FutureDatedDeviceAlertMessage:
    """A device's alert that it carried out a future dated command, or could not."""

    future_dated_alert_code: int = element("FutureDatedAlertCode", _FUTURE_DATED_ALERT_CODE)
    gbcs_payload: bytes = element("GBCSPayload", OCTETS)
    instruction_number: int = element("InstructionNumber", UNSIGNED_SHORT)
    total_command_instructions: int = element("TotalCommandInstructions", UNSIGNED_SHORT)


ResponseBody = (
    PreCommand
    | LocalCommand
    | ResponseMessage
    | DSPInventory
    | FutureDatedDeviceAlertMessage
    | DeviceAlertMessage
    | DCCAlertMessage
    | Unmodelled
)


@structure
class _MessageHead:
    """What stands before the payload of a ResponseMessage."""

    service_reference_variant: str = element("ServiceReferenceVariant", SERVICE_REFERENCE_VARIANT)


_HEADER: Final = Structure(ResponseHeader)
_HEAD: Final = Referenced(_MessageHead)
_ALERT: Final = OneOf(DeviceAlertMessage, DCCAlertMessage, unmodelled=True)
_PAYLOAD: Final = OneOf(
    PreCommand, LocalCommand, DSPInventory, FutureDatedDeviceAlertMessage, unmodelled=True
)
_GBCS_PAYLOAD: Final = Simple(OCTETS)
_HEAD_ELEMENTS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response, acknowledgement or alert.

    Args:
        header: Its header.
        body: What it brings, or None where it brings a response code alone.
        service_reference_variant: Of the request that it answers; None for an alert.
        schema_version: The version of DUIS that it is written in.

    Raises:
        LocalProtocolError: An alert has a service reference variant, or another has none.
    """

    header: ResponseHeader
    body: ResponseBody | None
    service_reference_variant: str | None = None
    schema_version: str = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if isinstance(self.body, Unmodelled):
            return
        if self.is_alert is (self.service_reference_variant is not None):
            wanted = "has none" if self.is_alert else "needs one"
            raise LocalProtocolError(
                f"Response/Body/ServiceReferenceVariant: {type(self.body).__name__} {wanted}"
            )

    @property
    def is_alert(self) -> bool:
        """True if it is an alert, of a device or of the DCC."""
        return isinstance(self.body, (DeviceAlertMessage, DCCAlertMessage))

    @property
    def service_reference(self) -> str | None:
        """The service reference of the request that it answers; None for an alert."""
        variant = self.service_reference_variant
        return None if variant is None else service_reference_of(variant)


def build_response(response: Response) -> bytes:
    """Write a response as an XML document in UTF-8, without a signature.

    Raises:
        LocalProtocolError: DUIS 5.4 has not its response code, or its body is one that can
            only be read.
    """
    if response.header.response_code not in CODES:
        raise LocalProtocolError(
            f"Response/Header/ResponseCode: DUIS 5.4 has no {response.header.response_code}"
        )
    header, body = new_document("Response", response.schema_version)
    _HEADER.fill(header, response.header)
    if response.is_alert:
        _ALERT.append(body, response.body)
    else:
        _fill_message(etree.SubElement(body, named("ResponseMessage")), response)
    return octets_of(header)


def _fill_message(message: etree._Element, response: Response) -> None:
    if response.service_reference_variant is None:
        raise LocalProtocolError("Response/Body: it can be read and not written")
    head = _MessageHead(service_reference_variant=response.service_reference_variant)
    _HEAD.fill(message, head)
    if isinstance(response.body, ResponseMessage):
        Structure(ResponseMessage).fill(message, response.body)
    elif response.body is not None:
        _PAYLOAD.append(message, response.body)


def parse_response(octets: bytes, source: str) -> Response:
    """Read a response or alert; a signature that it has is not looked at.

    Args:
        octets: The document; if it must be signed, what `signatures.verify` gave.
        source: Its name for errors.

    Raises:
        DocumentInvalid: It is hostile or not valid.
    """
    parts = read_document(octets, source, "Response")
    header = _HEADER.read(parts.header, parts.document)
    return _response_of(parts, header)


def _response_of(parts: Parts, header: ResponseHeader) -> Response:
    body: ResponseBody | None
    variant = None
    document = parts.document
    document.without_attributes(parts.body)
    children = document.children(parts.body)
    if len(children) != 1:
        raise document.wrong(parts.body, f"{len(children)} elements, where one belongs")
    if children[0].tag == named("ResponseMessage"):
        variant, body = _read_message(children[0], document)
    else:
        body = _ALERT.read_child(children[0], document)
    return Response(
        header=header,
        body=body,
        service_reference_variant=variant,
        schema_version=parts.schema_version,
    )


def _read_message(message: etree._Element, document: Document) -> tuple[str, ResponseBody | None]:
    document.without_attributes(message)
    children = document.children(message)
    head = _HEAD.read_children(message, children[:_HEAD_ELEMENTS], document)
    payload = children[_HEAD_ELEMENTS:]
    body: ResponseBody | None = None
    if len(payload) > 1:
        raise document.wrong(payload[1], "one payload belongs here")
    if payload and payload[0].tag == named("GBCSPayload"):
        body = ResponseMessage(gbcs_payload=_GBCS_PAYLOAD.read(payload[0], document))
    elif payload:
        body = _PAYLOAD.read_child(payload[0], document)
    return head.service_reference_variant, body
