"""Verifying the service requests of an evidence file, and the commands that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from duis import xml_signatures
from duis.request_documents import SignedPreCommand, parse_request
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message
from gbcs.path_validation import is_self_signed
from gbcs.protocol_errors import DecodeError, ProtectionMissing, WrongEntity
from gbcs.roles import KeyUsage
from keyrig.domain.dcc_made_commands import asked_command
from keyrig.domain.service_requests import Users
from keyrig.domain.states import ServiceDocumentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duis.document_headers import RequestIdentifier
    from duis.request_documents import Request
    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.documents.evidence_document import ExchangeBody
    from keyrig.domain.dcc_made_commands import AskedCommand
    from keyrig.evidence.evidence_file import EvidenceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFor:
    """A command that the DCC made, derived from its request and the answer.

    Args:
        request_id: The request's identifier.
        counter: The DCC's originator counter, from the answer; 0 where none came.
        command: The command.
    """

    request_id: RequestIdentifier
    counter: int
    command: AskedCommand


class ServiceRequests:
    """Verifies the service requests of a file.

    Args:
        file: The evidence.
        is_trusted: True if a certificate's path leads to a trusted root.
    """

    def __init__(self, file: EvidenceFile, is_trusted: Callable[[GBCSCertificate], bool]) -> None:
        self._file = file
        # DCC Boxed's XML-signing certificates are self-signed, so no root certifies them. They
        # are accepted here: a request states only what its maker asked for, and its maker also
        # made this file, so a certified key would prove no more.
        self._find = xml_signatures.among(
            each
            for each in file.certificates
            if each.key_usage == KeyUsage.DIGITAL_SIGNATURE
            and (is_trusted(each) or (each.signs_xml and is_self_signed(each)))
        )

    def asked_for(self, exchange: ExchangeBody) -> AskedFor:
        """Return the command of an exchange whose command the DCC made itself.

        Raises:
            ProtectionMissing: The request is not in the file.
            SecurityError: It is signed neither by a trusted organisation nor by a self-signed
                XML-signing key, or is for another device.
            DocumentInvalid: It cannot be read.
            LocalProtocolError: The DCC makes no command of such a request.
        """
        found = list(self._requests(exchange))
        if len(found) != 1:
            raise ProtectionMissing(
                f"the DCC made the command, and {len(found)} service requests for it are here"
            )
        (request,) = found
        request_id = request.header.request_id
        counter = _counter(exchange)
        parties = self._file.header.parties
        users = Users(
            supplier=request_id.originator,
            access_control_broker=EntityIdentifier.parse(parties.access_control_broker),
            transitional_cos=EntityIdentifier.parse(parties.transitional_cos),
        )
        command = asked_command(request.body, counter, users)
        return AskedFor(request_id=request_id, counter=counter, command=command)

    def check_signed(self, exchange: ExchangeBody) -> None:
        """Check that a signed pre-command sent to the DCC is the exchange's command.

        Raises:
            WrongEntity: It is another command.
            KeyrigError: The request does not verify or cannot be read.
        """
        for request in self._requests(exchange):
            body = request.body
            if isinstance(body, SignedPreCommand) and body.gbcs_payload != exchange.command:
                raise WrongEntity("the DCC was given another signed pre-command than the command")

    def _requests(self, exchange: ExchangeBody) -> Iterator[Request]:
        for filed in self._file.service_documents:
            if filed.exchange != exchange.id or filed.kind is not ServiceDocumentKind.REQUEST:
                continue
            source = f"the service request of line {filed.line}"
            octets = xml_signatures.verify(filed.document, self._find, source)
            request = parse_request(octets, source)
            if request.header.request_id.target != exchange.device:
                raise WrongEntity(f"{source} is not for device {exchange.device}")
            yield request


def _counter(exchange: ExchangeBody) -> int:
    if not exchange.response:
        return 0
    try:
        return Message.parse(exchange.response).header.originator_counter
    except DecodeError:
        return 0
