"""8.1.1 in an emulated device's stead, whose own use cases end at CS02e.

The device's cells, counters and keys are used as the device itself would; the command's content
and the response's are the stand-in's own (`dccstub.options`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dccstub.options import COMMISSION_MESSAGE_CODES
from gbcs import protection
from gbcs.errors import KeyrigError, SecurityError
from gbcs.message import Message, compose_pre_command
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import TrustAnchorCellIdentifier
from meterstub.counters import accept_counter, verify_counter

if TYPE_CHECKING:
    from meterstub.device import EmulatedDevice

CLOCK_SET: Final = bytes.fromhex("020100")
"""The response's content: INTEGER 0, the stand-in's own."""
_SUPPLIER: Final = TrustAnchorCellIdentifier(
    role=RemotePartyRole.SUPPLIER, key_usage=KeyUsage.DIGITAL_SIGNATURE
)


def sets_clock(command: Message) -> bool:
    """Say whether a command is 8.1.1's."""
    return command.header.message_code in COMMISSION_MESSAGE_CODES.values()


def answer_in_stead(device: EmulatedDevice, command: Message) -> list[bytes]:
    """Verify a command as the device would, and give the response, or nothing."""
    state = device.memory.state
    header = command.header
    certificate = state.certificate_in(_SUPPLIER)
    try:
        if certificate is None or certificate.entity_id != header.originator:
            raise SecurityError("its originator is not the supplier")
        verify_counter(state, RemotePartyRole.SUPPLIER, header.originator_counter)
        protection.verify_signature(command, certificate.public_key)
    except KeyrigError:
        return []
    device.memory.commit(accept_counter(state, RemotePartyRole.SUPPLIER, header.originator_counter))
    response = compose_pre_command(header.reply(), CLOCK_SET)
    signer = state.key_pairs[KeyUsage.DIGITAL_SIGNATURE]
    return [protection.protect(response, signer=signer).octets]
