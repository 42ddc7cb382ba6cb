"""A device without a line, a field agent without keys, and the DCC's side to make commands."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from agent.observed import Observed
from authorities import DEVICE
from duis.document_headers import RequestIdentifier
from firmware_stubs.support import BROKER_CELL, SUPPLIER_CELLS, Bench, SettableClock
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.roles import KeyUsage
from keyrig.base.errors import LinkTimeout
from keyrig.delivery.batch_reading import GivenCommand
from keyrig.delivery.batch_validation import Expiry, check_batch
from keyrig.delivery.delivery_run import Field, deliver
from keyrig.delivery.public_certificates import PublicCertificates
from keyrig.delivery.returned_answers import Returning
from keyrig.domain.states import BatchRule
from keyrig.ledger.ledger import Ledger
from keyrig.session.link import LinkStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.run_results import RunResult
    from keyrig.ledger.local_commands import LocalBatch, LocalCommand

DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
BATCHES = tuple(f"{number:032x}" for number in range(1, 9))


@dataclass
class DirectLink:
    """Hands messages to a device and what it sends back; answers to sendings in `lose` get lost."""

    device: Callable[[bytes], list[bytes]]
    change: Callable[[bytes], bytes] = lambda octets: octets
    lose: set[int] = field(default_factory=set)
    sent: list[bytes] = field(default_factory=list)
    coming: deque[bytes] = field(default_factory=deque)
    is_open: bool = False
    opened: int = 0

    name = "direct"
    statistics = LinkStatistics()

    def open(self) -> None:
        self.is_open = True
        self.opened += 1

    def close(self) -> None:
        self.is_open = False

    def send(self, message: bytes) -> None:
        assert self.is_open
        self.sent.append(message)
        answers = self.device(message)
        if len(self.sent) not in self.lose:
            self.coming.extend(self.change(octets) for octets in answers)

    def receive(self, timeout_s: float) -> bytes:
        assert self.is_open
        if not self.coming:
            raise LinkTimeout(timeout_s, where=self.name)
        return self.coming.popleft()


@dataclass
class Site:
    """One device on its line, the DCC that makes commands for it, and a field agent's home."""

    home: Path
    bench: Bench = field(default_factory=lambda: Bench(clock=SettableClock(NOON)))
    clock: SettableClock = field(default_factory=lambda: SettableClock(NOON))
    certificates: PublicCertificates = field(default_factory=PublicCertificates)
    told: Observed = field(default_factory=Observed)
    returning: Returning = field(init=False)
    link: DirectLink = field(init=False)

    def __post_init__(self) -> None:
        self.link = DirectLink(self.bench.device.receive_message)
        self.returning = Returning(
            party=None,
            dcc=self.broker,
            organisations_of_dcc=frozenset({self.broker}),
            supplier=self.supplier,
            directory=self.home / "answers",
        )

    @property
    def broker(self) -> EntityIdentifier:
        entity = self.bench.pki.credential(BROKER_CELL).certificate.entity_id
        assert entity is not None
        return entity

    @property
    def supplier(self) -> EntityIdentifier:
        entity = self.supplier_certificate.entity_id
        assert entity is not None
        return entity

    @property
    def supplier_certificate(self) -> GBCSCertificate:
        return self.bench.pki.credential(SUPPLIER_CELLS[0]).certificate

    def device_certificate(self, usage: KeyUsage = DS) -> GBCSCertificate:
        return GBCSCertificate.from_der(self.bench.state.certificates[usage])

    def know(self, *more: GBCSCertificate) -> None:
        """Have the device's signing certificate at hand, and `more`."""
        self.certificates = PublicCertificates([self.device_certificate(), *more])

    def given(self, *commands: bytes, with_request_ids: bool = True) -> tuple[GivenCommand, ...]:
        return tuple(
            GivenCommand(
                source=f"{number}.xml",
                octets=octets,
                request_id=RequestIdentifier(self.supplier, DEVICE, 1000 + number)
                if with_request_ids
                else None,
            )
            for number, octets in enumerate(commands, 1)
        )

    def take_in(
        self,
        ledger: Ledger,
        given: Sequence[GivenCommand],
        *,
        batch_id: str = BATCHES[0],
        rule: BatchRule = BatchRule.STOP,
        expires_at: datetime | None = None,
    ) -> LocalBatch:
        commands = check_batch(
            given,
            device=DEVICE,
            certificates=self.certificates,
            expiry=Expiry(at=expires_at, valid_for=WEEK),
            now=self.clock(),
        )
        return ledger.local_commands.take_in(
            batch_id, commands, rig_name="bench", device=DEVICE, rule=rule, now=self.clock()
        )

    def deliver(
        self, ledger: Ledger, batch: LocalBatch, rule: BatchRule | None = None, **changes: Any
    ) -> RunResult:
        settings = Field(
            ledger=ledger,
            link=self.link,
            timeout_s=1,
            certificates=self.certificates,
            returning=self.returning,
            clock=self.clock,
            monotonic=lambda: 0.0,
            observe=self.told,
        )
        return deliver(replace(settings, **changes), batch, rule)

    def ledger(self) -> Ledger:
        return Ledger(self.home / "ledger.sqlite")

    def commands(self, batch_id: str = BATCHES[0]) -> tuple[LocalCommand, ...]:
        with self.ledger() as ledger:
            return ledger.local_commands.commands(batch_id)
