"""Critical requests: transformed to pre-commands, which come back signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dccstub import request_commands
from dccstub import stand_in_options as codes
from dccstub.access_control_broker import payload_of, verify_signed_pre_command
from dccstub.stand_in_faults import Fault, other_payload
from dccstub.stand_in_options import Refused
from duis.credential_requests import UpdateSecurityCredentialsKRP
from duis.request_documents import CommissionDeviceSynchroniseClock, SignedPreCommand
from gbcs import use_cases
from gbcs.protocol_errors import DecodeError, SecurityError
from gbcs.roles import KeyUsage

if TYPE_CHECKING:
    from dccstub.certificate_directory import Directory
    from dccstub.stand_in_faults import Faults
    from dccstub.stand_in_inventory import Inventory
    from duis.document_headers import RequestIdentifier
    from duis.request_documents import Request
    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.message import Message


class PreCommands:
    """Makes pre-commands and remembers each until it comes back.

    Args:
        inventory: Has the devices' types.
        directory: Has the certificates by which users sign.
        faults: May make a pre-command another one.
    """

    def __init__(self, inventory: Inventory, directory: Directory, faults: Faults) -> None:
        self._inventory = inventory
        self._directory = directory
        self._faults = faults
        self._made: dict[RequestIdentifier, tuple[str, Message, Message]] = {}

    def transform(self, request: Request) -> Message:
        """Make the pre-command of a critical request.

        The same request may come again while its pre-command has not been sent.

        Raises:
            Refused: Its content makes no command, or its identifier is another request's.
        """
        request_id = request.header.request_id
        variant = request.header.service_reference_variant
        pre_command = self._pre_command(request)
        earlier = self._made.get(request_id)
        if earlier is not None and earlier[:2] != (variant, pre_command):
            raise Refused(codes.REPLAYED, f"{request_id} is another request's")
        given = pre_command
        if self._faults.takes_effect(Fault.DIFFERENT_PRE_COMMAND):
            other = other_payload(payload_of(pre_command))
            if other is not None:
                given = use_cases.compose(pre_command.header, other)
        self._made[request_id] = (variant, pre_command, given)
        return given

    def signed(self, request: Request) -> tuple[Message, bytes]:
        """Match a signed pre-command; return the command and the signature.

        Raises:
            Refused: It is not what its request was transformed to, or not signed by its
                originator.
        """
        assert isinstance(request.body, SignedPreCommand)
        request_id = request.header.request_id
        made = self._made.get(request_id)
        if made is None or made[0] != request.header.service_reference_variant:
            raise Refused(codes.WRONG_PRE_COMMAND, f"{request_id} was not transformed")
        try:
            signature = verify_signed_pre_command(
                made[2], request.body.gbcs_payload, self._signing(request_id.originator)
            )
        except (DecodeError, SecurityError) as error:
            raise Refused(codes.WRONG_PRE_COMMAND, str(error)) from error
        del self._made[request_id]
        return made[2], signature

    def _pre_command(self, request: Request) -> Message:
        body, request_id = request.body, request.header.request_id
        of = request_id.originator, request_id.target, request_id.counter
        variant = request.header.service_reference_variant
        device = self._inventory.find(request_id.target)
        assert device is not None, "admission knows the device"
        try:
            if isinstance(body, UpdateSecurityCredentialsKRP):
                if body.remote_party_role not in self._directory.roles(request_id.originator):
                    raise Refused(codes.CREDENTIALS_REFUSED[variant], "it is of another role")
                return request_commands.update_by_party(body, *of)
            if isinstance(body, CommissionDeviceSynchroniseClock):
                return request_commands.set_clock(body, device.device_type, *of)
            command = request_commands.key_command(body, *of)
        except request_commands.RequestNotTransformable as error:
            raise Refused(codes.CREDENTIALS_REFUSED[variant], str(error)) from error
        if command is None:
            raise Refused(codes.UNSUPPORTED, f"{type(body).__name__} is not transformed")
        return command

    def _signing(self, party: EntityIdentifier) -> list[GBCSCertificate]:
        return [
            entry.certificate
            for entry in self._directory.organisation(party)
            if entry.certificate.role is not None
            and not entry.certificate.signs_xml
            and entry.certificate.key_usage == KeyUsage.DIGITAL_SIGNATURE
        ]
