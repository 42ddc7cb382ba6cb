"""A small public key infrastructure, its parties, and one emulated device among them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from authorities import DEVICE, DURING, Authorities
from gbcs import protection, use_cases
from gbcs.certification_request import CertificationRequest
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, Message, OtherInformation, compose_pre_command
from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    KeyUsageCommand,
    ProvideCredentialsCommand,
    TrustAnchorCellIdentifier,
    TrustAnchorReplacement,
    UpdateCredentialsCommand,
)
from gbcs.use_cases import MessageCode
from meterstub.device_factory import manufacture
from meterstub.device_faults import Faults
from meterstub.device_memory import (
    DeviceMemory,
    PowerLost,
    Storage,
    VolatileStorage,
    decode_state,
    encode_state,
)
from meterstub.device_options import DeviceOptions
from meterstub.device_state import ContingencyKey, DeviceState
from meterstub.emulated_device import EmulatedDevice
from meterstub.key_pair import KeyPair, generate_key
from meterstub.trust_anchor_cells import CELLS, ROOT_CELL

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.certificate_issuing import Issuer
    from gbcs.certificate_profiles import GBCSCertificate

Role = RemotePartyRole
Mode = CredentialsReplacementMode
DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
TOP_UP = CellUsage.PREPAYMENT_TOP_UP
CONTINGENCY = EntityIdentifier.parse("70b3d51f300017ff")
ENTITIES = {
    role: EntityIdentifier.parse(f"90b3d51f300000{role:02x}")
    for role in RemotePartyRole
    if role < RemotePartyRole.LOAD_CONTROLLER
}


def cell(
    role: RemotePartyRole, key_usage: KeyUsage, cell_usage: CellUsage = CellUsage.MANAGEMENT
) -> TrustAnchorCellIdentifier:
    return TrustAnchorCellIdentifier(role=role, key_usage=key_usage, cell_usage=cell_usage)


SUPPLIER_CELLS = (cell(Role.SUPPLIER, DS), cell(Role.SUPPLIER, KA), cell(Role.SUPPLIER, KA, TOP_UP))
BROKER_CELL = cell(Role.ACCESS_CONTROL_BROKER, KA)


@dataclass(frozen=True)
class Credential:
    certificate: GBCSCertificate
    pair: KeyPair

    @property
    def der(self) -> bytes:
        return self.certificate.der


@dataclass
class PKI:
    """Authorities and, made when asked for, one credential for each cell."""

    authorities: Authorities = field(default_factory=Authorities)
    contingency: KeyPair = field(default_factory=lambda: KeyPair(generate_key()))
    _credentials: dict[TrustAnchorCellIdentifier, Credential] = field(default_factory=dict)

    def credential(self, which: TrustAnchorCellIdentifier) -> Credential:
        if which not in self._credentials:
            self._credentials[which] = self.new_credential(which)
        return self._credentials[which]

    def new_credential(
        self,
        which: TrustAnchorCellIdentifier,
        *,
        issuer: Issuer | None = None,
        entity_id: EntityIdentifier | None = None,
        **changes: Any,
    ) -> Credential:
        pair = KeyPair(generate_key())
        arguments: dict[str, Any] = {
            "role": which.role,
            "key_usage": which.key_usage,
            "entity_id": entity_id or ENTITIES[which.role],
            "public_key": pair.public_key,
        } | changes
        certificate = self.authorities.organisation(issuer, **arguments)
        return Credential(certificate, pair)

    def anchors(self, device_type: DeviceType) -> dict[TrustAnchorCellIdentifier, bytes]:
        return {
            which: self.authorities.root.certificate.der
            if which == ROOT_CELL
            else self.credential(which).der
            for which in CELLS[device_type]
        }

    def certify(self, request: bytes, **changes: Any) -> bytes:
        read = CertificationRequest.from_der(request)
        arguments: dict[str, Any] = {
            "key_usage": read.key_usage,
            "entity_id": read.entity_id,
            "public_key": read.public_key,
        } | changes
        return self.authorities.device(**arguments).der


class SettableClock:
    def __init__(self, now: datetime = DURING) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Bench:
    """One device on its PKI, and commands for it that are right unless told otherwise."""

    device_type: DeviceType = DeviceType.ESME
    options: DeviceOptions = field(default_factory=DeviceOptions)
    storage: Storage = field(default_factory=VolatileStorage)
    pki: PKI = field(default_factory=PKI)
    clock: SettableClock = field(default_factory=SettableClock)
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        state = manufacture(
            self.device_type,
            DEVICE,
            anchors=self.pki.anchors(self.device_type) | self.changes.pop("anchors", {}),
            certify=self.pki.certify,
            contingency=ContingencyKey.of(CONTINGENCY, self.pki.contingency.public_key),
        )
        DeviceMemory.create(self.storage, state)
        self.device = self.power_on()

    def power_on(self) -> EmulatedDevice:
        """Start a device from what the storage holds, as after a loss of power."""
        self.device = EmulatedDevice(
            DeviceMemory(self.storage), options=self.options, clock=self.clock, faults=Faults()
        )
        return self.device

    @property
    def state(self) -> DeviceState:
        return self.device.memory.state

    @cached_property
    def path(self) -> tuple[bytes, ...]:
        return (self.pki.authorities.issuing.certificate.der,)

    @property
    def critical_cell(self) -> TrustAnchorCellIdentifier:
        is_hub = self.device_type is DeviceType.CHF
        return cell(Role.ACCESS_CONTROL_BROKER if is_hub else Role.SUPPLIER, DS)

    def header(self, code: int, originator: EntityIdentifier, counter: int) -> Header:
        return Header(CRAFlag.COMMAND, counter, originator, DEVICE, OtherInformation(code))

    def protected(
        self,
        header: Header,
        content: bytes,
        *,
        signer: KeyPair | None,
        maced: bool = True,
        broker: KeyPair | None = None,
    ) -> bytes:
        secret = None
        if maced:
            broker = broker or self.pki.credential(BROKER_CELL).pair
            secret = broker.agree(self.state.key_pairs[KA].public_key)
        message = compose_pre_command(header, content)
        return protection.protect(message, signer=signer, shared_secret=secret).octets

    def critical(self, code: int, payload: Any, counter: int, **changes: Any) -> bytes:
        """CS02c, CS02d or CS02e, signed by the entitled party."""
        signing = self.pki.credential(changes.pop("by", self.critical_cell))
        originator = changes.pop("originator", signing.certificate.entity_id)
        header = self.header(code, originator, counter)
        content = use_cases.compose(header, payload).content
        return self.protected(
            header, content, signer=changes.pop("signer", signing.pair), **changes
        )

    def issue(self, counter: int, usage: KeyUsage = DS, **changes: Any) -> bytes:
        payload = KeyUsageCommand(key_usage=usage)
        return self.critical(MessageCode.ISSUE_CREDENTIALS, payload, counter, **changes)

    def install(self, counter: int, certificate: bytes, **changes: Any) -> bytes:
        code = MessageCode.UPDATE_DEVICE_CERTIFICATE
        return self.critical(code, certificate, counter, **changes)

    def read_certificate(self, counter: int, usage: KeyUsage = DS, **changes: Any) -> bytes:
        payload = KeyUsageCommand(key_usage=usage)
        return self.critical(MessageCode.PROVIDE_DEVICE_CERTIFICATE, payload, counter, **changes)

    def provide(
        self,
        counter: int,
        *roles: RemotePartyRole,
        by: TrustAnchorCellIdentifier = BROKER_CELL,
    ) -> bytes:
        """CS02a, MACed for a key agreement cell and signed for a signature cell."""
        payload = ProvideCredentialsCommand(
            authorising_remote_party_ta_cell_identifier=by,
            remote_party_roles_credentials_required=roles,
        )
        signs = by.key_usage is DS
        header = self.header(MessageCode.PROVIDE_CREDENTIALS, ENTITIES[by.role], counter)
        content = use_cases.compose(header, payload).content
        signer = self.pki.credential(by).pair if signs else None
        return self.protected(header, content, signer=signer, maced=not signs)

    def update(
        self,
        counter: int,
        mode: CredentialsReplacementMode,
        *replacements: tuple[TrustAnchorCellIdentifier, bytes],
        by: TrustAnchorCellIdentifier | None,
        **changes: Any,
    ) -> bytes:
        """CS02b; `by` None is the MAC alone, or the contingency key in that mode."""
        payload = self.update_payload(counter, mode, *replacements, by=by, **changes)
        protected = use_cases.command_protection(payload)
        signer: KeyPair | None = None
        originator = ENTITIES[Role.ACCESS_CONTROL_BROKER if by is None else by.role]
        if by is not None:
            signer = self.pki.credential(by).pair
        elif mode is Mode.ANY_BY_CONTINGENCY:
            signer, originator = self.pki.contingency, CONTINGENCY
        code = changes.get("code", mode.message_code)
        header = self.header(code, originator, counter)
        content = use_cases.compose(header, payload).content
        return self.protected(
            header, content, signer=changes.get("signer", signer), maced=protected.mac
        )

    def update_payload(
        self,
        counter: int,
        mode: CredentialsReplacementMode,
        *replacements: tuple[TrustAnchorCellIdentifier, bytes],
        by: TrustAnchorCellIdentifier | None,
        **changes: Any,
    ) -> UpdateCredentialsCommand:
        control: dict[str, Any] = {
            "credentials_replacement_mode": mode,
            "authorising_remote_party_ta_cell_identifier": by,
            "authorising_remote_party_seq_number": counter,
        } | changes.get("control", {})
        return UpdateCredentialsCommand(
            authorising_remote_party_control=AuthorisingRemotePartyControl(**control),
            replacements=tuple(
                TrustAnchorReplacement(replacement_certificate=der, target_trust_anchor_cell=target)
                for target, der in replacements
            ),
            certification_path_certificates=changes.get("path", self.path),
            execution_date_time=changes.get("at"),
        )

    def supplier_by_supplier(
        self, counter: int, certificates: tuple[bytes, ...] | None = None, **changes: Any
    ) -> bytes:
        """CS02b that gives all the supplier's cells new certificates."""
        cells = [which for which in SUPPLIER_CELLS if which in CELLS[self.device_type]]
        if certificates is None:
            certificates = tuple(self.pki.new_credential(which).der for which in cells)
        pairs = zip(cells, certificates, strict=False)
        by = cell(Role.SUPPLIER, DS)
        return self.update(counter, Mode.SUPPLIER_BY_SUPPLIER, *pairs, by=by, **changes)

    def answer(self, octets: bytes) -> Message:
        """Give the one response to a command."""
        (response,) = self.device.receive_message(octets)
        return Message.parse(response)

    def payload_of(self, octets: bytes) -> Any:
        decoded = use_cases.decode_payload(self.answer(octets))
        assert decoded is not None
        return decoded.value

    def verify_signed(self, response: Message, key: ec.EllipticCurvePublicKey) -> None:
        protection.verify_signature(response, key)
        assert response.mac is None


def remembered(storage: Storage) -> bytes:
    """The octets that a storage holds, but for the security log."""
    return encode_state(replace(decode_state(storage.read()), log=()))


def without_power(bench: Bench, octets: bytes) -> None:
    """Send a command in whose write the power goes."""
    with pytest.raises(PowerLost):
        bench.device.receive_message(octets)
