"""The ledger: one file, and the stores in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from keyrig.ledger.attempt_facts import Facts
from keyrig.ledger.clock_record import ClockRecord
from keyrig.ledger.database import BUSY_TIMEOUT_S, Database
from keyrig.ledger.event_queue import EventQueue
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

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection


class Ledger:
    """The record of commands, their outcomes, and the events still to be published.

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
        self.event_queue = EventQueue(self._database)
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

    @property
    def database(self) -> Database:
        """The file, opened."""
        return self._database

    def check(self) -> None:
        """Check the integrity of the whole file.

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

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
