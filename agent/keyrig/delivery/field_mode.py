"""Field mode: from what a person hands over to a delivered batch, on a rig without keys."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyrig.base.clock import elapsed, monotonic, utc_now
from keyrig.base.device_locks import holding
from keyrig.base.errors import SettingsError
from keyrig.base.observing import Observer, StopAsked, never_stopped, unobserved
from keyrig.config.places import make_data_folder, places_of
from keyrig.config.rig_file import ServiceSettings
from keyrig.delivery.batch_validation import Expiry, check_batch
from keyrig.delivery.delivery_run import Field, deliver
from keyrig.delivery.public_certificates import PublicCertificates, public_certificates
from keyrig.delivery.returned_answers import returning_for
from keyrig.domain.clock_trust import WatchedClock
from keyrig.domain.states import BatchRule
from keyrig.ledger.clock_record import check_clock
from keyrig.ledger.ledger import Ledger
from keyrig.run.device_links import ways_to_devices
from keyrig.run.rig_locks import reserved
from keyrig.session.transcript import NoTranscript, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.rig_file import Rig, RigDevice
    from keyrig.delivery.batch_reading import GivenCommand
    from keyrig.domain.run_results import RunResult
    from keyrig.ledger.local_commands import LocalBatch, NewLocalCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What is handed over for one device.

    Args:
        rig: The rig that the device is on.
        device: The device, by its Entity Identifier.
        commands: What was read, in the order of delivery.
        valid_for_hours: How long a command may be sent, where `expires_at` does not say.
        expires_at: A person's word for the whole batch, or None.
        certificate_files: Public certificates beside those of the key store.
    """

    rig: Rig
    device: EntityIdentifier
    commands: Sequence[GivenCommand]
    valid_for_hours: float
    expires_at: datetime | None = None
    certificate_files: Collection[Path] = ()

    def check(self, now: datetime) -> tuple[NewLocalCommand, ...]:
        """Check the whole batch; nothing is recorded or sent.

        Raises:
            SettingsError: The device is not on the rig, or a command cannot be delivered to it.
            SecurityError: A command's protection is missing or false.
            KeyStoreError: A certificate's file cannot be read.
        """
        self.rig.require([self.device])
        return check_batch(
            self.commands,
            device=self.device,
            certificates=certificates_for(self.rig, self.certificate_files),
            expiry=Expiry(at=self.expires_at, valid_for=timedelta(hours=self.valid_for_hours)),
            now=now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """How a batch is delivered.

    Args:
        rule: What becomes of the commands behind one that was not carried out; None keeps what
            the batch has.
        certificate_files: Public certificates beside those of the key store.
        return_as: Who returns the answers; None where each command says.
        output: Where the answers' documents are written.
        sign: Signs them; None leaves them unsigned.
        accept_clock: A person says that the clock is right, whatever is on record.
    """

    rule: BatchRule | None = None
    certificate_files: Collection[Path] = ()
    return_as: EntityIdentifier | None = None
    output: Path | None = None
    sign: Callable[[bytes], bytes] | None = field(default=None, repr=False)
    accept_clock: bool = False


def certificates_for(rig: Rig, files: Collection[Path] = ()) -> PublicCertificates:
    """Return the public certificates of a rig's key store, if there is one, and of files."""
    return public_certificates(places_of(rig).keystore, files)


def take_in(
    ledger: Ledger,
    handover: Handover,
    batch_id: str,
    now: datetime,
    *,
    rule: BatchRule = BatchRule.STOP,
) -> LocalBatch:
    """Check what is handed over and record it, or give the batch of the same that stands.

    Args:
        ledger: The ledger.
        handover: What is handed over.
        batch_id: A fresh UUID of version 4 as 32 hexadecimal digits.
        now: The present instant.
        rule: What becomes of the commands behind one that was not carried out.

    Raises:
        SettingsError: As `Handover.check`.
        SecurityError: As `Handover.check`.
        KeyStoreError: As `Handover.check`.
        LedgerRefused: A counter was used by another command, or a command stands in another
            batch that is not through.
    """
    commands = _with_known_counters(ledger, handover, handover.check(now))
    return ledger.local_commands.take_in(
        batch_id,
        commands,
        rig_name=handover.rig.name,
        device=handover.device,
        rule=rule,
        now=now,
    )


def _with_known_counters(
    ledger: Ledger, handover: Handover, commands: tuple[NewLocalCommand, ...]
) -> tuple[NewLocalCommand, ...]:
    """Remark on counters that a device which takes only rising ones would refuse.

    It is not confirmed that every use case is so protected, so the device has the word.
    """
    remarked = []
    for command in commands:
        known = ledger.local_commands.answered_counters(handover.device, command.originator)
        last = max(known, default=0)
        if command.counter < last and command.counter not in known:
            text = f"the device answered counter {last} of this originator before"
            command = replace(  # noqa: PLW2901 - the same command, with a remark more
                command, remarks="; ".join(filter(None, (command.remarks, text)))
            )
        remarked.append(command)
    return tuple(remarked)


@contextmanager
def field_ledger(rig: Rig) -> Iterator[Ledger]:
    """Open the ledger, made where there is none."""
    places = places_of(rig)
    make_data_folder(places.data_folder)
    with Ledger(places.ledger) as ledger:
        yield ledger


def carry_out(
    rig: Rig,
    batch_id: str,
    options: DeliveryOptions,
    *,
    observe: Observer = unobserved,
    transcript: Transcript | None = None,
    clock: Callable[[], datetime] = utc_now,
    should_stop: StopAsked = never_stopped,
    is_reserved: bool = False,
) -> RunResult:
    """Deliver what is left of a batch over the rig's line to its device.

    No private key is used, and on a rig of real devices no key store is needed.

    Args:
        rig: The rig that the device is on.
        batch_id: The batch's whole id.
        options: How it is delivered.
        observe: Is told what happens.
        transcript: Takes every message.
        clock: Gives the present instant.
        should_stop: Says who asked the delivery to stop, or None.
        is_reserved: The caller holds `reserved` already.

    Raises:
        SettingsError: The batch is another rig's, or an answer cannot be written.
        RigBusy: Another agent drives the rig.
        DeviceBusy: Another run holds the device.
        ClockWrong: The clock was never set, or has run far ahead of what is on record.
        KeyStoreError: A certificate's file cannot be read.
    """
    places = places_of(rig)
    with field_ledger(rig) as ledger:
        batch = ledger.local_commands.batch(batch_id)
        device = _device_of(rig, batch)
        only = [device.entity_id]
        with (
            nullcontext() if is_reserved else reserved(rig, only=only, observe=observe),
            ways_to_devices(places, observe=observe, only=only, clock=clock) as ways,
        ):
            way = ways[device.entity_id]
            delivery = Field(
                ledger=ledger,
                link=way.link,
                timeout_s=way.timeout_s,
                certificates=certificates_for(rig, options.certificate_files),
                returning=returning_for(
                    rig,
                    device,
                    party=options.return_as,
                    directory=options.output,
                    sign=options.sign,
                ),
                clock=WatchedClock(
                    clock,
                    elapsed,
                    lambda found, _: observe(found.event()),
                    check_clock(ledger.clock, clock(), accept=options.accept_clock),
                ),
                monotonic=monotonic,
                observe=observe,
                transcript=transcript or NoTranscript(),
                should_stop=should_stop,
            )
            return deliver(delivery, batch, options.rule)


def withdraw(data_folder: Path, ledger: Ledger, batch: LocalBatch, now: datetime) -> int:
    """Withdraw what may still be sent of a batch; return how many commands there were.

    Raises:
        DeviceBusy: The device is reached at this moment, so one of them may be under way.
    """
    with holding(data_folder, [batch.device], wait_s=0, holder="a withdrawal"):
        return ledger.local_commands.withdraw(batch.id, now)


def _device_of(rig: Rig, batch: LocalBatch) -> RigDevice:
    if batch.rig_name != rig.name:
        raise SettingsError(
            f"batch {batch.id}",
            f"it is for the rig {batch.rig_name}, not {rig.name}",
            "name that rig's file with --rig",
        )
    rig.require([batch.device])
    device = next(each for each in rig.device if each.entity_id == batch.device)
    if isinstance(device.link, ServiceSettings):
        raise SettingsError(
            f"device {batch.device}",
            "it is reached by service requests alone",
            "give it a line in the rig file to deliver commands to it",
        )
    return device
