"""Makes `messages.toml`: complete messages under keys that nobody keeps.

Run it from the project's root with `PYTHONPATH=tests python tests/vectors/make_messages.py`; it
prints the file. Of the keys only what verification needs is printed: public keys for the
signatures, shared secrets for the MACs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gbcs.cosem_time import encode_date_time
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.message import CRAFlag, Header, OtherInformation
from gbcs.protection import protect
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    ExecutionOutcome,
    IssueCredentialsResponseCode,
    KeyUsageCommand,
    ProvideCredentialsCommand,
    ProvideDeviceCertificateResponseCode,
    RemotePartyDetails,
    RemotePartySeqNumberChange,
    ReplacementOutcome,
    SeqNumberUsage,
    SpecialistSeqNumber,
    StatusCode,
    TrustAnchorCellContents,
    TrustAnchorCellIdentifier,
    TrustAnchorReplacement,
    UpdateCredentialsAlert,
    UpdateCredentialsCommand,
    UpdateCredentialsResponse,
    UpdateDeviceCertificateResponseCode,
)
from gbcs.use_cases import compose
from vectors.asn1 import type_name
from vectors.keys import HeldKey

if TYPE_CHECKING:
    from collections.abc import Iterator

BROKER = EntityIdentifier.parse("02-00-00-00-00-00-00-04")
SUPPLIER = EntityIdentifier.parse("02-00-00-00-00-00-00-02")
DEVICE = EntityIdentifier.parse("02-00-00-00-00-00-00-A0")
MODE = CredentialsReplacementMode.SUPPLIER_BY_SUPPLIER
MOMENT = datetime(2030, 1, 2, tzinfo=UTC)

SUPPLIER_KEY, DEVICE_KEY = HeldKey(), HeldKey()
BROKER_AGREEMENT, DEVICE_AGREEMENT = HeldKey(), HeldKey()
SHARED_SECRET = BROKER_AGREEMENT.agree(DEVICE_AGREEMENT.public_key)

SUPPLIER_DS = TrustAnchorCellIdentifier(
    role=RemotePartyRole.SUPPLIER, key_usage=KeyUsage.DIGITAL_SIGNATURE
)
SUPPLIER_TOP_UP = TrustAnchorCellIdentifier(
    role=RemotePartyRole.SUPPLIER,
    key_usage=KeyUsage.KEY_AGREEMENT,
    cell_usage=CellUsage.PREPAYMENT_TOP_UP,
)
BROKER_KA = TrustAnchorCellIdentifier(
    role=RemotePartyRole.ACCESS_CONTROL_BROKER, key_usage=KeyUsage.KEY_AGREEMENT
)


def certificate(serial: int) -> bytes:
    """Make a certificate without any meaning beyond its form."""
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([]),
        subject_name=x509.Name([]),
        public_key=HeldKey().public_key,
        serial_number=serial,
        not_valid_before=datetime(2025, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2035, 1, 1, tzinfo=UTC),
    )
    signed = builder.sign(HeldKey().private, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def certification_request() -> bytes:
    """Make a certification request without any meaning beyond its form."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(HeldKey().private, hashes.SHA256()).public_bytes(Encoding.DER)


def control() -> AuthorisingRemotePartyControl:
    """Make the control of a supplier's replacement of its own credentials."""
    specialist = (
        SpecialistSeqNumber(seq_number_usage=SeqNumberUsage.PREPAYMENT_TOP_UP, seq_number=300),
    )
    return AuthorisingRemotePartyControl(
        credentials_replacement_mode=MODE,
        authorising_remote_party_ta_cell_identifier=SUPPLIER_DS,
        authorising_remote_party_seq_number=0x0123456789,
        new_remote_party_floor_seq_number=0,
        new_remote_party_specialist_floor_seq_number=specialist,
    )


def outcome() -> ExecutionOutcome:
    """Make the outcome of a replacement that one cell took and another refused."""
    return ExecutionOutcome(
        authorising_remote_party_seq_number=0x0123456789,
        credentials_replacement_mode=MODE,
        remote_party_seq_number_changes=(
            RemotePartySeqNumberChange(
                other_remote_party_role=RemotePartyRole.SUPPLIER,
                other_remote_party_floor_seq_number=0,
            ),
        ),
        replacement_outcomes=tuple(
            ReplacementOutcome(
                affected_trust_anchor_cell=cell,
                status_code=status,
                existing_subject_unique_id=SUPPLIER,
                existing_subject_key_identifier=bytes.fromhex("4102030405060708"),
                replacing_subject_unique_id=SUPPLIER,
                replacing_subject_key_identifier=bytes.fromhex("4112131415161718"),
            )
            for cell, status in (
                (SUPPLIER_DS, StatusCode.SUCCESS),
                (SUPPLIER_TOP_UP, StatusCode.NO_TRUST_ANCHOR),
            )
        ),
    )


@dataclass(frozen=True)
class Made:
    """A message to be made."""

    name: str
    cra_flag: CRAFlag
    message_code: int
    payload: Any
    signed: bool = True
    maced: bool = False
    date_time: bytes = b""


def commands() -> Iterator[Made]:
    """Give the commands."""
    command = CRAFlag.COMMAND
    yield Made(
        "CS02a command",
        command,
        0x0008,
        ProvideCredentialsCommand(
            authorising_remote_party_ta_cell_identifier=BROKER_KA,
            remote_party_roles_credentials_required=(
                RemotePartyRole.SUPPLIER,
                RemotePartyRole.LOAD_CONTROLLER,
            ),
        ),
        signed=False,
        maced=True,
    )
    yield Made(
        "CS02b command",
        command,
        MODE.message_code,
        UpdateCredentialsCommand(
            authorising_remote_party_control=control(),
            replacements=(
                TrustAnchorReplacement(
                    replacement_certificate=certificate(1), target_trust_anchor_cell=SUPPLIER_DS
                ),
                TrustAnchorReplacement(
                    replacement_certificate=certificate(2),
                    target_trust_anchor_cell=SUPPLIER_TOP_UP,
                ),
            ),
            certification_path_certificates=(certificate(3),),
            execution_date_time=MOMENT,
        ),
        maced=True,
    )
    for name, code, payload in (
        ("CS02c command", 0x000A, KeyUsageCommand(key_usage=KeyUsage.DIGITAL_SIGNATURE)),
        ("CS02d command", 0x000B, certificate(4)),
        ("CS02e command", 0x000C, KeyUsageCommand(key_usage=KeyUsage.KEY_AGREEMENT)),
    ):
        yield Made(name, command, code, payload, maced=True)


def answers() -> Iterator[Made]:
    """Give the responses and the alert."""
    response = CRAFlag.RESPONSE
    held = TrustAnchorCellContents(
        trust_anchor_cell_key_usage=KeyUsage.KEY_AGREEMENT,
        trust_anchor_cell_usage=CellUsage.PREPAYMENT_TOP_UP,
        existing_subject_unique_id=SUPPLIER,
        existing_subject_key_identifier=bytes.fromhex("4102030405060708"),
    )
    yield Made(
        "CS02a response",
        response,
        0x0008,
        (
            RemotePartyDetails(
                remote_party_role=RemotePartyRole.SUPPLIER,
                status_code=StatusCode.SUCCESS,
                current_seq_number=2**63 - 1,
                trust_anchor_cell_details=(held,),
            ),
            RemotePartyDetails(
                remote_party_role=RemotePartyRole.LOAD_CONTROLLER,
                status_code=StatusCode.TRUST_ANCHOR_NOT_FOUND,
            ),
        ),
        signed=False,
        maced=True,
    )
    yield Made(
        "CS02b response",
        response,
        MODE.message_code,
        UpdateCredentialsResponse(command_accepted=None, execution_outcome=outcome()),
        date_time=encode_date_time(MOMENT),
    )
    yield Made(
        "CS02b alert",
        CRAFlag.ALERT,
        0x00CB,
        UpdateCredentialsAlert(
            alert_code=0x8F67, execution_date_time=MOMENT, execution_outcome=outcome()
        ),
    )
    for name, code, payload in (
        ("CS02c response", 0x000A, certification_request()),
        ("CS02c refusal", 0x000A, IssueCredentialsResponseCode.KEY_PAIR_GENERATION_FAILED),
        ("CS02d response", 0x000B, UpdateDeviceCertificateResponseCode.WRONG_PUBLIC_KEY),
        ("CS02e response", 0x000C, certificate(5)),
        ("CS02e refusal", 0x000C, ProvideDeviceCertificateResponseCode.NO_CERTIFICATE_HELD),
    ):
        yield Made(name, response, code, payload)


def octets(made: Made) -> bytes:
    """Compose and protect a message."""
    party = SUPPLIER if made.signed else BROKER
    is_command = made.cra_flag is CRAFlag.COMMAND
    header = Header(
        cra_flag=made.cra_flag,
        originator_counter=0x0123456789,
        originator=party if is_command else DEVICE,
        recipient=DEVICE if is_command else party,
        other_information=OtherInformation(made.message_code),
        date_time=made.date_time,
    )
    signer = SUPPLIER_KEY if is_command else DEVICE_KEY
    return protect(
        compose(header, made.payload),
        signer=signer if made.signed else None,
        shared_secret=SHARED_SECRET if made.maced else None,
    ).octets


def lines() -> Iterator[str]:
    """Give the lines of the file."""
    yield "# Complete messages of CS02a to CS02e."
    yield "#"
    yield "# Source: made by make_messages.py with keys that were not kept; checked with asn1tools"
    yield "# and independent.py, which share no code with gbcs."
    yield ""
    yield "[keys]"
    for name, key in (("supplier", SUPPLIER_KEY), ("device", DEVICE_KEY)):
        yield f'{name} = "{public_octets(key.public_key)[1:].hex()}"'
    yield f'shared_secret = "{SHARED_SECRET.hex()}"'
    for made in (*commands(), *answers()):
        text = octets(made).hex().upper()
        yield ""
        yield "[[message]]"
        yield f'name = "{made.name}"'
        yield f'payload = "{type_name(made.message_code, made.cra_flag)}"'
        if made.signed:
            yield f'signed_by = "{"supplier" if made.cra_flag is CRAFlag.COMMAND else "device"}"'
        yield f"maced = {str(made.maced).lower()}"
        yield 'octets = """'
        yield from (text[at : at + 96] for at in range(0, len(text), 96))
        yield '"""'


if __name__ == "__main__":
    sys.stdout.writelines(line + "\n" for line in lines())
