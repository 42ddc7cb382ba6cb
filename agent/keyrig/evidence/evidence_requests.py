"""Checking the service requests of an evidence file, and what they show was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from duis import signatures
from duis.requests import SignedPreCommand, parse_request
from gbcs.entity import EntityIdentifier
from gbcs.errors import DecodeError, ProtectionMissing, WrongEntity
from gbcs.message import Message
from gbcs.path_validation import is_self_signed
from gbcs.roles import KeyUsage
from keyrig.domain.dcc_made_commands import asked_command
from keyrig.domain.service_requests import Users
from keyrig.domain.states import ServiceDocumentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duis.header import RequestIdentifier
    from duis.requests import Request
    from gbcs.certificates import GBCSCertificate
    from keyrig.documents.evidence_document import ExchangeBody
    from keyrig.domain.dcc_made_commands import AskedCommand
    from keyrig.evidence.evidence_file import EvidenceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFor:
    """A command that the DCC made, as the request for it and the answer to it show.

    Args:
        request_id: Of the request.
        counter: The DCC's counter, as the answer has it; 0 where none came.
        command: The command.
    """

    request_id: RequestIdentifier
    counter: int
    command: AskedCommand


class ServiceRequests:
    """Knows the service requests of a file.

    Args:
        file: The evidence.
        is_trusted: Says whether a certificate leads to a root to trust.
    """

    def __init__(self, file: EvidenceFile, is_trusted: Callable[[GBCSCertificate], bool]) -> None:
        self._file = file
        # No root vouches for DCC Boxed's XML-signing certificates, which are self-signed. A
        # request is the word of whoever made it, who made the file too: by such a key no less.
        self._find = signatures.among(
            each
            for each in file.certificates
            if each.key_usage == KeyUsage.DIGITAL_SIGNATURE
            and (is_trusted(each) or (each.signs_xml and is_self_signed(each)))
        )

    def asked_for(self, exchange: ExchangeBody) -> AskedFor:
        """Give the command of an exchange whose command the DCC made itself.

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
        """See that what the DCC was given to send is the exchange's command.

        Raises:
            WrongEntity: It is another.
            KeyrigError: As `asked_for`.
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
            octets = signatures.verify(filed.document, self._find, source)
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
