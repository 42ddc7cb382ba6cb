"""The ledger: one file, and the stores in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from keyrig.ledger.attempt_facts import Facts
from keyrig.ledger.clock_record import ClockRecord
from keyrig.ledger.database import BUSY_TIMEOUT_S, Database
from keyrig.ledger.exchanges import Exchanges
from keyrig.ledger.key_change_record import KeyChanges
from keyrig.ledger.known_fact_record import DeviceFactRecord
from keyrig.ledger.local_commands import LocalCommands
from keyrig.ledger.open_duties import OpenDuties
from keyrig.ledger.operation_record import Operations
from keyrig.ledger.originator_counters import Counters
from keyrig.ledger.outbox import Outbox
from keyrig.ledger.rule_sets import RuleSets
from keyrig.ledger.run_contexts import RunContexts
from keyrig.ledger.runs import Runs
from keyrig.ledger.scheduled_replacements import ScheduledReplacements
from keyrig.ledger.service_documents import ServiceDocuments
from keyrig.ledger.smi_status_record import SMIStatuses
from keyrig.ledger.status_instructions import StatusInstructions
from keyrig.ledger.token_record import Tokens
from keyrig.ledger.upstreams import Upstreams
from keyrig.run.duty_outcomes import fail_overdue, finish_duty
from keyrig.run.outside_facts import learn, learn_status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from gbcs.entity import EntityIdentifier
    from keyrig.domain.device_facts import DeviceFacts, Outcome
    from keyrig.domain.known_facts import KnownFact
    from keyrig.domain.smi_status import SMIStatus
    from keyrig.duties.consequences import Consequences
    from keyrig.duties.plan import Duty
    from keyrig.duties.rules import Rules


class Ledger:
    """What was asked of devices, what came of it, and what is still to be told.

    One object serves the threads of one process; several processes may each open the
    same file. Every write is on the disk when its call returns, unless the caller holds
    `transaction()` around it. Instants are passed in, aware and in UTC.

    Args:
        path: The file; its folder must exist.
        create: Make the ledger where there is none.
        busy_timeout_s: How long to wait for another process, in seconds.

    Raises:
        LedgerLocked: Another process holds the file.
        LedgerCorrupt: The ledger is damaged.
        LedgerForeign: The file is no database or another program's; it is left as it was.
        LedgerTooNew: A newer keyrig wrote it.
        LedgerError: The file is missing or cannot be opened.
    """

    def __init__(
        self, path: Path, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self._database = Database(path, create=create, busy_timeout_s=busy_timeout_s)
        self.clock = ClockRecord(self._database)
        self.counters = Counters(self._database, self.clock)
        self.runs = Runs(self._database)
        self.exchanges = Exchanges(self._database)
        self.key_changes = KeyChanges(self._database)
        self.outbox = Outbox(self._database)
        self.upstreams = Upstreams(self._database)
        self.status_instructions = StatusInstructions(self._database)
        self.smi_statuses = SMIStatuses(self._database, self.outbox, self.status_instructions)
        self.facts = Facts(self._database)
        self.device_facts = DeviceFactRecord(self._database)
        self.rule_sets = RuleSets(self._database)
        self.run_contexts = RunContexts(self._database)
        self.open_duties = OpenDuties(self._database, self.device_facts, self.facts, self.rule_sets)
        self.local_commands = LocalCommands(self._database)
        self.scheduled = ScheduledReplacements(self._database, self.runs, self.open_duties)
        self.tokens = Tokens(self._database)
        self.operations = Operations(self._database)
        self.service_documents = ServiceDocuments(self._database)

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def check(self) -> None:
        """Read the whole file and see that it holds together.

        Opening does this too where the file is small.

        Raises:
            LedgerCorrupt: It is damaged.
        """
        self._database.check()

    def transaction(self) -> AbstractContextManager[Connection]:
        """Hold one transaction around several calls; all of it is committed, or nothing."""
        return self._database.transaction()

    def reading(self) -> AbstractContextManager[Connection]:
        """Hold one view around several calls that read, whatever others write meanwhile."""
        return self._database.reading()

    def finish_duty(
        self,
        *,
        attempt_id: int,
        outcome: Outcome,
        detail: str,
        evidence: str,
        rules: Rules,
        device: DeviceFacts,
        now: datetime,
    ) -> Consequences:
        """Record an attempt's outcome with all that it entails, in one transaction.

        That is: the attempt, the SMI Status suspended or restored, the notices to
        Responsible Suppliers, the flags for a person, and the events that tell of these.

        Args:
            attempt_id: The attempt, from `runs.start_attempt`.
            outcome: How it ended.
            detail: Why, in one line; safe to print.
            evidence: The reference to the evidence; needed to be done.
            rules: The rule set.
            device: The device on which it was made.
            now: The present instant.

        Returns:
            What followed.

        Raises:
            LedgerRefused: The attempt has ended, is on another device or of an unknown
                requirement; or it is called done without evidence, or without re-generated
                keys of both usages that the device was read back to hold.
        """
        return finish_duty(
            self,
            attempt_id=attempt_id,
            outcome=outcome,
            detail=detail,
            evidence=evidence,
            rules=rules,
            device=device,
            now=now,
        )

    def fail_overdue(
        self, *, rules: Rules, device: DeviceFacts, duty: Duty, now: datetime
    ) -> Consequences:
        """Record what follows from a deadline that passed before a duty was done.

        Nothing does unless the rules read "fails" so, or where what kept the duty from being done
        last was not the device; doing it again changes nothing.

        Args:
            rules: The rule set.
            device: The device.
            duty: The duty, as planned now.
            now: The present instant.

        Returns:
            What followed.

        Source: SEC H5.34 and H5.38, consultation draft; ambiguity A4.
        """
        return fail_overdue(self, rules=rules, device=device, duty=duty, now=now)

    def learn(self, device: EntityIdentifier, said: Iterable[KnownFact], now: datetime) -> None:
        """Record facts of a device that come from outside of a run, and plan it anew.

        A device that no rig has had yet is planned by the built-in rules, for every party.

        Args:
            device: The device.
            said: The facts.
            now: The present instant.

        Raises:
            LedgerRefused: The device's type would not be known any more.
        """
        learn(self, device, said, now)

    def learn_status(
        self,
        device: EntityIdentifier,
        status: SMIStatus,
        *,
        at: datetime,
        source: str,
        now: datetime,
        is_snapshot: bool = False,
    ) -> bool:
        """Record an SMI Status that was set elsewhere, and what it entails.

        It may confirm what was instructed. A device that becomes Decommissioned owes nothing
        more. Any other change while a suspension of ours stands is flagged for a person: the
        text bars it.

        Args:
            device: The device.
            status: The status that it holds.
            at: Since when.
            source: Who says so.
            now: The present instant.
            is_snapshot: Whether it was seen to be held, as in the inventory, and not said to
                have been set: then it may be one that our instruction has not changed yet.

        Returns:
            Whether it is news.

        Raises:
            LedgerRefused: A later status is held already.

        Source: SEC H5.34(d) and H5.38(c), consultation draft.
        """
        return learn_status(
            self, device, status, at=at, source=source, now=now, is_snapshot=is_snapshot
        )

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
