"""The DCC's and the suppliers' side of the emulated home: makes commands with their keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gbcs.message import CRAFlag, Header, OtherInformation
from gbcs.protection import protect
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    KeyUsageCommand,
    ProvideCredentialsCommand,
    TrustAnchorCellIdentifier,
)
from gbcs.use_cases import MessageCode, compose
from keyrig.keys.lab_pki import ACCESS_CONTROL_BROKER

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.keys.key_store import KeyStore

BROKER = ACCESS_CONTROL_BROKER.entity_id


@dataclass
class DCCSide:
    """Composes, signs and MACs commands for one device; every command has the next counter."""

    store: KeyStore
    device: EntityIdentifier
    counter: int = 1000

    def provide(self, *roles: RemotePartyRole) -> bytes:
        """CS02a by the access control broker, MACed alone."""
        cell = TrustAnchorCellIdentifier(
            role=RemotePartyRole.ACCESS_CONTROL_BROKER, key_usage=KeyUsage.KEY_AGREEMENT
        )
        payload = ProvideCredentialsCommand(
            authorising_remote_party_ta_cell_identifier=cell,
            remote_party_roles_credentials_required=roles,
        )
        return self._command(MessageCode.PROVIDE_CREDENTIALS, payload, BROKER)

    def issue(self, usage: KeyUsage = KeyUsage.DIGITAL_SIGNATURE) -> bytes:
        """CS02c by the same, who stands for the supplier until the hand-over; signed and MACed."""
        payload = KeyUsageCommand(key_usage=usage)
        return self._command(MessageCode.ISSUE_CREDENTIALS, payload, BROKER, signs=True)

    def install(self, certificate: bytes) -> bytes:
        """CS02d by the same, signed and MACed."""
        code = MessageCode.UPDATE_DEVICE_CERTIFICATE
        return self._command(code, certificate, BROKER, signs=True)

    def _command(
        self, code: int, payload: Any, originator: EntityIdentifier, *, signs: bool = False
    ) -> bytes:
        self.counter += 1
        header = Header(
            CRAFlag.COMMAND, self.counter, originator, self.device, OtherInformation(code)
        )
        certificate = self.store.certificate(self.device, key_usage=KeyUsage.KEY_AGREEMENT)
        secret = self.store.agreer(BROKER).agree(certificate.public_key)
        signer = self.store.signer(originator) if signs else None
        return protect(compose(header, payload), signer=signer, shared_secret=secret).octets
