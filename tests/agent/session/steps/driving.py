"""Drives step scripts by scripted answers, and keeps what they asked for in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from authorities import DEVICE, SUPPLIER, Authorities
from gbcs.certification_request import build_certification_request
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    RemotePartyDetails,
    StatusCode,
    TrustAnchorCellContents,
    TrustAnchorCellIdentifier,
)
from keyrig.domain.device_facts import DeviceFacts
from keyrig.domain.key_changes import KEY_CHANGE_MOVES, KeyChange, KeyChangeState
from keyrig.session.steps.effects import (
    AdvanceKeyChange,
    Answer,
    Ask,
    Certify,
    NoResponse,
    RecordCells,
    RequestKeyChange,
    ReserveCounter,
)
from keyrig.session.steps.reading_cells import cell_identifier
from keyrig.session.steps.step_context import Parties, StepContext

if TYPE_CHECKING:
    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.domain.trust_anchor import Cell
    from keyrig.session.steps.effects import Effect, Script, StepResult

DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
MANAGEMENT, TOP_UP = CellUsage.MANAGEMENT, CellUsage.PREPAYMENT_TOP_UP
ROLE = RemotePartyRole
BROKER = EntityIdentifier.parse("90b3d51f30000002")
RECOVERY = EntityIdentifier.parse("90b3d51f30000001")
TRANSITIONAL_COS = EntityIdentifier.parse("90b3d51f30000004")
OTHER_SUPPLIER = EntityIdentifier.parse("90b3d51f30010001")
NETWORK = EntityIdentifier.parse("90b3d51f30020000")
OTHER_NETWORK = EntityIdentifier.parse("90b3d51f30020001")
NAMES = {
    BROKER: "broker",
    TRANSITIONAL_COS: "transitional-cos",
    SUPPLIER: "supplier",
    OTHER_SUPPLIER: "other-supplier",
    NETWORK: "network",
    OTHER_NETWORK: "other-network",
}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FLOOR = 5000
COUNTER = 7000
FIRST_EXCHANGE = 101


@cache
def authorities() -> Authorities:
    return Authorities()


@cache
def certificate(
    entity: EntityIdentifier,
    role: RemotePartyRole,
    key_usage: KeyUsage = DS,
    cell_usage: CellUsage = MANAGEMENT,  # noqa: ARG001 - each cell has a certificate of its own
) -> GBCSCertificate:
    return authorities().organisation(entity_id=entity, role=role, key_usage=key_usage)


@dataclass
class MemoryCertificates:
    """Gives certificates that `certificate` makes, and remembers what was asked for."""

    asked: list[tuple[object, ...]] = field(default_factory=list)

    def certificate(
        self,
        entity: EntityIdentifier,
        key_usage: KeyUsage,
        cell_usage: CellUsage = CellUsage.MANAGEMENT,
        role: RemotePartyRole | None = None,
    ) -> GBCSCertificate:
        self.asked.append((entity, key_usage, cell_usage, role))
        assert role is not None
        return certificate(entity, role, key_usage, cell_usage)

    def certification_path(self, certificate: GBCSCertificate) -> tuple[GBCSCertificate, ...]:
        assert certificate.entity_id is not None
        return (authorities().issuing.certificate,)


def context(device_type: DeviceType = DeviceType.ESME, **changes: Any) -> StepContext:
    """Give what a step knows; `changes` go to the facts where those have such a field."""
    facts: dict[str, Any] = {
        "entity_id": DEVICE,
        "device_type": device_type,
        "lead_supplier": SUPPLIER,
        "network_operator": NETWORK,
    }
    facts |= {name: changes.pop(name) for name in tuple(changes) if name in facts}
    known: dict[str, Any] = {
        "facts": DeviceFacts(**facts),
        "parties": Parties(
            access_control_broker=BROKER,
            transitional_cos=TRANSITIONAL_COS,
            recovery_certificate=certificate(RECOVERY, ROLE.RECOVERY),
        ),
        "certificates": MemoryCertificates(),
        "open_key_changes": {},
        "confirmed_key_usages": frozenset(),
        "known_cells": {},
        "device_public_keys": frozenset(),
    }
    return StepContext(**known | changes)


def cell(
    role: RemotePartyRole, key_usage: KeyUsage = DS, cell_usage: CellUsage = MANAGEMENT
) -> TrustAnchorCellIdentifier:
    return TrustAnchorCellIdentifier(role=role, key_usage=key_usage, cell_usage=cell_usage)


def contents(
    entity: EntityIdentifier,
    key_usage: KeyUsage = DS,
    cell_usage: CellUsage = MANAGEMENT,
    *,
    key: bytes = b"\x11" * 8,
) -> TrustAnchorCellContents:
    return TrustAnchorCellContents(
        trust_anchor_cell_key_usage=key_usage,
        trust_anchor_cell_usage=cell_usage,
        existing_subject_unique_id=bytes(entity),
        existing_subject_key_identifier=key,
    )


def details(
    role: RemotePartyRole,
    *cells: TrustAnchorCellContents,
    status: StatusCode = StatusCode.SUCCESS,
) -> RemotePartyDetails:
    return RemotePartyDetails(
        remote_party_role=role,
        status_code=status,
        current_seq_number=1,
        trust_anchor_cell_details=cells or None,
    )


def change(key_usage: KeyUsage, state: KeyChangeState, **changes: Any) -> KeyChange:
    """Give a key change as the ledger has it in `state`, with what is known by then."""
    brought = {
        KeyChangeState.REQUESTED: (None, None),
        KeyChangeState.CSR_RECEIVED: (request(key_usage, 1), None),
        KeyChangeState.WAITING_FOR_AUTHORITY: (request(key_usage, 1), None),
    }.get(state, (request(key_usage, 1), issued(key_usage, 1)))
    values: dict[str, Any] = {
        "id": 1,
        "device": DEVICE,
        "key_usage": key_usage,
        "state": state,
        "run_id": None,
        "csr": brought[0],
        "certificate": brought[1],
        "requested_at": NOON,
        "changed_at": NOON,
    }
    return KeyChange(**values | changes)


@cache
def device_key(number: int) -> ec.EllipticCurvePrivateKey:  # noqa: ARG001 - one for each
    """Give the `number`-th key pair that the device makes."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def request(key_usage: KeyUsage, number: int, device: EntityIdentifier = DEVICE) -> bytes:
    """Give the device's request to certify its `number`-th key pair of a usage."""
    return build_certification_request(
        device_key(2 * number + (key_usage is KA)), key_usage, device
    )


def issued(key_usage: KeyUsage, number: int) -> bytes:
    """Give the octets that stand for the certificate of the `number`-th change."""
    return f"{key_usage.gbcs_name} certificate {number}".encode()


class Driver:
    """Answers the effects of a step as a run does, and keeps a line of each.

    Args:
        answers: To each `Ask` in turn: a payload's value, or an error to throw.
        waits: The usages whose requests wait for the authority.
        cells: Where recorded cells go, as the context of a run sees them.
    """

    def __init__(
        self,
        *answers: Any,
        waits: frozenset[KeyUsage] = frozenset(),
        cells: dict[TrustAnchorCellIdentifier, Cell] | None = None,
    ) -> None:
        self._answers = deque(answers)
        self._waits = waits
        self._cells = cells
        self._changes = 1
        self.trace: list[str] = []
        self.asks: list[Ask] = []
        self.recorded: list[tuple[Cell, ...]] = []
        self.advances: list[AdvanceKeyChange] = []

    def run(self, script: Script) -> StepResult:
        try:
            effect = next(script)
            while True:
                answer = self._answer(effect)
                effect = (
                    script.throw(answer) if isinstance(answer, Exception) else script.send(answer)
                )
        except StopIteration as stop:
            result: StepResult = stop.value
            return result
        finally:
            assert not self._answers, "the script asked for less than was foreseen"

    def payload(self, index: int = -1, counter: int = COUNTER) -> Any:
        """Give the payload's value of one of the commands that were asked for."""
        return self.asks[index].payload(counter)

    def _answer(self, effect: Effect) -> Any:  # noqa: PLR0911 - one for each effect
        match effect:
            case Ask():
                return self._ask(effect)
            case ReserveCounter(originator):
                self.trace.append(f"reserve {NAMES[originator]}")
                return FLOOR
            case RequestKeyChange(key_usage):
                self.trace.append(f"request {key_usage.gbcs_name}")
                self._changes += 1
                return change(key_usage, KeyChangeState.REQUESTED, id=self._changes)
            case Certify(standing):
                assert standing.state in {
                    KeyChangeState.CSR_RECEIVED,
                    KeyChangeState.WAITING_FOR_AUTHORITY,
                }
                self.trace.append(f"certify {standing.key_usage.gbcs_name}")
                if standing.key_usage in self._waits:
                    return replace(standing, state=KeyChangeState.WAITING_FOR_AUTHORITY)
                return replace(
                    standing,
                    state=KeyChangeState.CERTIFICATE_ISSUED,
                    certificate=issued(standing.key_usage, standing.id),
                )
            case AdvanceKeyChange():
                return self._advance(effect)
            case RecordCells(cells):
                self.trace.append("record")
                self.recorded.append(cells)
                if self._cells is not None:
                    self._cells.update({cell_identifier(each): each for each in cells})
                return None

    def _ask(self, ask: Ask) -> Answer | Exception:
        manner = "repeatable" if ask.repeatable else "once"
        self.trace.append(f"{ask.message_code:04X} by {NAMES[ask.originator]}, {manner}")
        self.asks.append(ask)
        assert self._answers, f"no answer was foreseen to {ask.what}"
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            return answer
        exchange_id = FIRST_EXCHANGE - 1 + len(self.asks)
        if isinstance(answer, Answer):
            return replace(answer, exchange_id=exchange_id)
        return Answer(payload=answer, exchange_id=exchange_id)

    def _advance(self, effect: AdvanceKeyChange) -> KeyChange:
        assert effect.to in KEY_CHANGE_MOVES[effect.change.state]
        self.trace.append(effect.to.value)
        self.advances.append(effect)
        csr = effect.csr or effect.change.csr
        return replace(effect.change, state=effect.to, csr=csr)


NO_RESPONSE = NoResponse("the command", 4.0)
