"""All that a device remembers, as one value; a command turns one into the next.

Source of the counters' rule: GBCS v0.8.1, 4.3.1.5 (the comparison is assumed: strictly greater
than the last accepted one of the role).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.key_holders import public_octets
from gbcs.protocol_errors import CounterReplayed
from gbcs.security_credentials import SEQ_NUMBER_MAXIMUM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import DeviceType, KeyUsage, RemotePartyRole
    from gbcs.security_credentials import CredentialsReplacementMode, TrustAnchorCellIdentifier
    from meterstub.key_pair import KeyPair


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the security log.

    Args:
        code: The event's code, 16 bits.
        at: When, in UTC.
        what: One line for a person.
    """

    code: int
    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class FutureDatedCommand:
    """An authenticated CS02b command that waits for its date.

    Args:
        originator: Who sent it, and whom the alert goes to.
        role: The remote party role that authorised it.
        mode: Its credentials replacement mode.
        received_at: When it came, in UTC.
        execution_date_time: When it is due, in UTC.
        content: Its payload in DER.
    """

    originator: EntityIdentifier
    role: RemotePartyRole
    mode: CredentialsReplacementMode
    received_at: datetime
    execution_date_time: datetime
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ContingencyKey:
    """The party and the key that anyByContingency commands are accepted from.

    In reality the key is kept encrypted in the root's credentials and the command brings
    the symmetric key for it; nothing at hand confirms how, so the public key is given at
    manufacture.

    Args:
        originator: The Entity Identifier in the commands' header.
        public_point: The key's uncompressed point, 65 octets.
    """

    originator: EntityIdentifier
    public_point: bytes

    @classmethod
    def of(
        cls, originator: EntityIdentifier, public_key: ec.EllipticCurvePublicKey
    ) -> ContingencyKey:
        """Make it of the point of `public_key`."""
        return cls(originator, public_octets(public_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """All that one device remembers.

    Args:
        device_type: What it is.
        entity_id: Who it is.
        key_pairs: Its current key pairs by use.
        certificates: Its current certificates in DER by use.
        pending: Key pairs made for CS02c whose certificates have not come, by use.
        cells: The certificate in DER that each trust anchor cell holds.
        counters: The last accepted originator counter of each role; absent is 0.
        top_up_floors: The prepayment top-up counter floor of each role; absent is 0.
        alert_counter: The device's own originator counter as last used.
        future_dated: Commands that wait for their date.
        log: The security log, oldest entry first.
        contingency: Whom anyByContingency is accepted from, or None for nobody.
    """

    device_type: DeviceType
    entity_id: EntityIdentifier
    key_pairs: Mapping[KeyUsage, KeyPair] = field(repr=False)
    certificates: Mapping[KeyUsage, bytes] = field(repr=False)
    cells: Mapping[TrustAnchorCellIdentifier, bytes] = field(repr=False)
    pending: Mapping[KeyUsage, KeyPair] = field(default_factory=dict, repr=False)
    counters: Mapping[RemotePartyRole, int] = field(default_factory=dict)
    top_up_floors: Mapping[RemotePartyRole, int] = field(default_factory=dict)
    alert_counter: int = 0
    future_dated: tuple[FutureDatedCommand, ...] = ()
    log: tuple[LogEntry, ...] = field(default=(), repr=False)
    contingency: ContingencyKey | None = None

    def certificate_in(self, cell: TrustAnchorCellIdentifier) -> GBCSCertificate | None:
        """Return what `cell` holds, or None where the device has no such cell."""
        der = self.cells.get(cell)
        return None if der is None else GBCSCertificate.from_der(der)

    def with_cell(self, cell: TrustAnchorCellIdentifier, certificate: bytes) -> DeviceState:
        """Return the state in which `cell` holds `certificate`."""
        return replace(self, cells={**self.cells, cell: certificate})


def last_accepted(state: DeviceState, role: RemotePartyRole) -> int:
    """Return the last accepted counter of `role`."""
    return state.counters.get(role, 0)


def verify_counter(state: DeviceState, role: RemotePartyRole, counter: int) -> None:
    """Verify that a command's counter is new.

    Raises:
        CounterReplayed: It is not greater than the last accepted one of `role`, or is
            greater than any that a device can hold.
    """
    last = last_accepted(state, role)
    if counter <= last:
        raise CounterReplayed(
            f"counter {counter} of {role.gbcs_name} is not greater than {last}, the last accepted"
        )
    if counter > SEQ_NUMBER_MAXIMUM:
        raise CounterReplayed(f"counter {counter} of {role.gbcs_name} exceeds what can be held")


def accept_counter(state: DeviceState, role: RemotePartyRole, counter: int) -> DeviceState:
    """Return the state in which `counter` is the last accepted one of `role`."""
    return replace(state, counters={**state.counters, role: counter})


def set_floors(
    state: DeviceState, role: RemotePartyRole, *, floor: int, top_up_floor: int | None
) -> DeviceState:
    """Return the state with new floors for `role`; None leaves the top-up floor as it is."""
    state = accept_counter(state, role, floor)
    if top_up_floor is None:
        return state
    return replace(state, top_up_floors={**state.top_up_floors, role: top_up_floor})


def next_alert_counter(state: DeviceState) -> tuple[DeviceState, int]:
    """Return the state after the next alert, and the device's own originator counter for it."""
    counter = state.alert_counter + 1
    return replace(state, alert_counter=counter), counter
