"""Commands of other parties for local delivery, and the devices' answers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from gbcs.printable import printable
from keyrig.base.errors import LedgerRefused, SettingsError
from keyrig.domain.states import (
    LOCAL_COMMAND_HAS_ANSWER,
    LOCAL_COMMAND_OPEN,
    BatchRule,
    LocalCommandState,
    Verification,
)
from keyrig.ledger.schema import exchanges, local_batches, local_commands, local_sittings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.run_results import RunResult
    from keyrig.ledger.database import Database

_SHOWN_BATCHES = 3
_SEQ_NUMBER_MAXIMUM = 2**63 - 1
"""The greatest counter that an exchange of a run can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLocalCommand:
    """A command to be recorded.

    Args:
        originator: Its originator.
        counter: Its originator counter.
        message_code: Its use case.
        request_id: The DUIS RequestID that it belongs to, or "".
        source: The file that it came from.
        octets: The whole message.
        remarks: Remarks for a person, in one line, or "".
        expires_at: The last instant at which it may be sent.
    """

    originator: EntityIdentifier
    counter: int
    message_code: int
    request_id: str
    source: str
    octets: bytes = field(repr=False)
    remarks: str
    expires_at: datetime

    @property
    def digest(self) -> str:
        """SHA-256 of the octets, 64 hexadecimal digits."""
        return hashlib.sha256(self.octets).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCommand:
    """A command of a batch, with its outcome; `position` counts from 1."""

    id: int
    batch_id: str
    position: int
    device: EntityIdentifier
    originator: EntityIdentifier
    counter: int
    message_code: int
    request_id: str
    source: str
    octets: bytes = field(repr=False)
    digest: str
    remarks: str
    expires_at: datetime
    state: LocalCommandState
    sendings: int
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    answer: bytes | None = field(repr=False)
    verification: Verification | None
    detail: str
    settled_at: datetime | None
    return_id: str

    @property
    def is_open(self) -> bool:
        """True if it may still be sent."""
        return self.state in LOCAL_COMMAND_OPEN

    @property
    def was_carried_out(self) -> bool:
        """True if the device answered, did not refuse, and the answer was not rejected."""
        return (
            self.state in {LocalCommandState.ANSWERED, LocalCommandState.REPLAYED}
            and self.verification is not Verification.FAILED
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBatch:
    """Commands for one device in order; `outcome` is None until it has ended."""

    id: str
    rig_name: str
    device: EntityIdentifier
    digest: str
    rule: BatchRule
    taken_in_at: datetime
    finished_at: datetime | None
    outcome: RunResult | None
    detail: str


class LocalCommands:
    """Records batches of commands, before and after each sending."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take_in(
        self,
        batch_id: str,
        commands: Sequence[NewLocalCommand],
        *,
        rig_name: str,
        device: EntityIdentifier,
        rule: BatchRule,
        now: datetime,
    ) -> LocalBatch:
        """Record a batch, or return the existing one of the same commands.

        A batch counts as existing while any of its commands may still be sent, and where all
        of them were answered. A command that was answered in another batch is not sent again: it is
        recorded as replayed, with that answer, or as refused or rejected as it was.

        Args:
            batch_id: The id of a new batch, a UUID of version 4 as 32 hexadecimal digits.
            commands: In the order of delivery.
            rig_name: The rig.
            device: The device that all of them are for.
            rule: The treatment of those behind one that was not carried out.
            now: The present instant.

        Raises:
            LedgerRefused: A counter was used by another command, or a command stands in another
                batch that is not through.
        """
        digest = digest_of(commands)
        with self._database.transaction() as connection:
            standing = self._same_batch(device, digest)
            if standing is not None:
                return standing
            earlier = [self._earlier(device, command) for command in commands]
            connection.execute(
                insert(local_batches).values(
                    id=batch_id,
                    rig_name=rig_name,
                    device=device,
                    digest=digest,
                    rule=rule,
                    taken_in_at=now,
                )
            )
            for index, (command, before) in enumerate(zip(commands, earlier, strict=True)):
                connection.execute(
                    insert(local_commands).values(
                        batch_id=batch_id,
                        position=index + 1,
                        device=device,
                        **_values(command),
                        **_replayed(before, now),
                    )
                )
            return self.batch(batch_id)

    def batch(self, batch_id: str) -> LocalBatch:
        """Return a batch.

        Raises:
            LedgerRefused: There is none of that id.
        """
        found = self._batches(local_batches.c.id == batch_id)
        if not found:
            raise LedgerRefused(f"batch {batch_id}", "there is no such batch")
        return found[0]

    def named(self, name: str) -> LocalBatch:
        """Return a batch by its id or the beginning of it.

        Raises:
            SettingsError: No batch is called so, or several are.
        """
        newest = self.batches()
        found = tuple(batch for batch in newest if name and batch.id.startswith(name.lower()))
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{each.id} for {each.device}" for each in newest[:_SHOWN_BATCHES])
        reason = f"{len(found)} batches begin so" if found else "the ledger has no such batch"
        mend = f"name one, such as {known}" if known else "deliver one first"
        raise SettingsError(f"batch {printable(name, 40)}", reason, mend)

    def batches(self, device: EntityIdentifier | None = None) -> tuple[LocalBatch, ...]:
        """Return the batches, for one device or for all, newest first."""
        return self._batches(None if device is None else local_batches.c.device == device)

    def page(
        self, limit: int, *, before: str | None = None, device: EntityIdentifier | None = None
    ) -> tuple[LocalBatch, ...]:
        """Return batches, newest first.

        Args:
            limit: How many.
            before: Only those that stand behind this one.
            device: Only those for this device.

        Raises:
            LedgerRefused: There is none of the id `before`.
        """
        table = local_batches
        query = select(table).order_by(table.c.taken_in_at.desc(), table.c.id).limit(limit)
        if device is not None:
            query = query.where(table.c.device == device)
        with self._database.reading() as connection:
            if before is not None:
                mark = self.batch(before)
                query = query.where(
                    (table.c.taken_in_at < mark.taken_in_at)
                    | ((table.c.taken_in_at == mark.taken_in_at) & (table.c.id > mark.id))
                )
            return tuple(LocalBatch(**row) for row in connection.execute(query).mappings())

    def record_sitting(self, batch_id: str, operation_id: str) -> None:
        """Record that an operation of the API delivers a batch."""
        with self._database.transaction() as connection:
            connection.execute(
                insert(local_sittings).values(batch_id=batch_id, operation_id=operation_id)
            )

    def sittings(self, batch_id: str) -> tuple[str, ...]:
        """Return the operations by which a batch was delivered, oldest first."""
        table = local_sittings
        query = select(table.c.operation_id).where(table.c.batch_id == batch_id)
        with self._database.reading() as connection:
            return tuple(connection.execute(query.order_by(table.c.id)).scalars())

    def is_sitting(self, operation_id: str) -> bool:
        """Return True if an operation delivers a batch."""
        table = local_sittings
        query = select(table.c.id).where(table.c.operation_id == operation_id)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def commands(self, batch_id: str) -> tuple[LocalCommand, ...]:
        """Return the commands of a batch in their order."""
        return self._commands(local_commands.c.batch_id == batch_id)

    def command(self, command_id: int) -> LocalCommand:
        """Return a command.

        Raises:
            LedgerRefused: There is none of that id.
        """
        found = self._commands(local_commands.c.id == command_id)
        if not found:
            raise LedgerRefused(f"local command {command_id}", "there is no such local command")
        return found[0]

    def answered_counters(
        self, device: EntityIdentifier, originator: EntityIdentifier
    ) -> frozenset[int]:
        """Return the counters of an originator that a device has answered."""
        answered = self._commands(
            (local_commands.c.device == device)
            & (local_commands.c.originator == originator)
            & local_commands.c.state.in_(LOCAL_COMMAND_HAS_ANSWER)
        )
        return frozenset(command.counter for command in answered)

    def begin(self, batch_id: str, rule: BatchRule | None = None) -> LocalBatch:
        """Record that delivery continues, by another rule where one is given."""
        values: dict[str, Any] = {"finished_at": None, "outcome": None, "detail": ""}
        if rule is not None:
            values["rule"] = rule
        with self._database.transaction() as connection:
            connection.execute(
                update(local_batches).where(local_batches.c.id == batch_id).values(**values)
            )
            return self.batch(batch_id)

    def finish(self, batch_id: str, outcome: RunResult, now: datetime, *, detail: str = "") -> None:
        """Record the outcome of a delivery; a batch with open commands can be continued."""
        with self._database.transaction() as connection:
            connection.execute(
                update(local_batches)
                .where(local_batches.c.id == batch_id)
                .values(finished_at=now, outcome=outcome, detail=detail)
            )

    def sending(self, command_id: int, now: datetime) -> LocalCommand:
        """Record that a command is about to be sent; from now the device may execute it.

        Raises:
            LedgerRefused: It has ended already.
        """
        with self._database.transaction():
            command = self.command(command_id)
            return self._change(
                command_id,
                state=LocalCommandState.SENT,
                sendings=command.sendings + 1,
                first_sent_at=command.first_sent_at or now,
                last_sent_at=now,
                detail="",
            )

    def unsent(self, command_id: int, detail: str) -> LocalCommand:
        """Record that a command was not sent, though it was about to be, for the first time."""
        return self._change(
            command_id,
            state=LocalCommandState.WAITING,
            sendings=0,
            first_sent_at=None,
            last_sent_at=None,
            detail=detail,
        )

    def unanswered(self, command_id: int, detail: str) -> LocalCommand:
        """Record that no answer came in time."""
        return self._change(command_id, state=LocalCommandState.UNANSWERED, detail=detail)

    def expired(self, command_id: int, now: datetime, detail: str) -> LocalCommand:
        """Record that a command's time passed before it was answered."""
        return self._change(
            command_id, state=LocalCommandState.EXPIRED, settled_at=now, detail=detail
        )

    def withdraw(self, batch_id: str, now: datetime) -> int:
        """Withdraw the commands of a batch that may still be sent; return how many."""
        table = local_commands
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(table)
                .where(table.c.batch_id == batch_id, table.c.state.in_(LOCAL_COMMAND_OPEN))
                .values(state=LocalCommandState.WITHDRAWN, settled_at=now)
            )
            return changed.rowcount

    def answered(
        self,
        command_id: int,
        answer: bytes,
        *,
        state: LocalCommandState,
        verification: Verification,
        return_id: str,
        detail: str,
        now: datetime,
    ) -> LocalCommand:
        """Record the answer of a command, once.

        Args:
            command_id: The command.
            answer: The whole message of the device.
            state: Answered, refused or rejected.
            verification: The verification of the answer's protection.
            return_id: The RequestID under which the answer is returned.
            detail: Remarks for a person, in one line.
            now: The present instant.

        Raises:
            LedgerRefused: It has ended already.
        """
        return self._change(
            command_id,
            state=state,
            answer=answer,
            verification=verification,
            return_id=return_id,
            detail=detail,
            settled_at=now,
        )

    def _change(self, command_id: int, **values: Any) -> LocalCommand:
        table = local_commands
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(table)
                .where(table.c.id == command_id, table.c.state.in_(LOCAL_COMMAND_OPEN))
                .values(**values)
            )
            if not changed.rowcount:
                raise LedgerRefused(f"local command {command_id}", "it is settled already")
            return self.command(command_id)

    def _same_batch(self, device: EntityIdentifier, digest: str) -> LocalBatch | None:
        """Return the newest batch of the same commands that is under way or wholly answered."""
        same = (local_batches.c.device == device) & (local_batches.c.digest == digest)
        for batch in self._batches(same):
            commands = self.commands(batch.id)
            if any(command.is_open for command in commands) or all(
                command.answer is not None for command in commands
            ):
                return batch
        return None

    def _earlier(self, device: EntityIdentifier, command: NewLocalCommand) -> LocalCommand | None:
        """Return the same command with its earlier answer, or None where it is new."""
        table = local_commands
        same_counter = self._commands(
            (table.c.device == device)
            & (table.c.originator == command.originator)
            & (table.c.counter == command.counter)
        )
        what = f"counter {command.counter} of {command.originator}"
        for other in same_counter:
            if other.digest != command.digest:
                raise LedgerRefused(
                    command.source,
                    f"{what} was used by another command, of batch {other.batch_id}",
                    "have the command made anew",
                )
            if other.is_open:
                raise LedgerRefused(
                    command.source,
                    f"the command stands in batch {other.batch_id}, which is not through",
                    f"go on with `keyrig deliver --resume {other.batch_id}`",
                )
        if self._is_used_by_run(command):
            raise LedgerRefused(
                command.source,
                f"{what} was used by a run of this agent",
                "have the command made anew",
            )
        return next((each for each in reversed(same_counter) if each.answer is not None), None)

    def _is_used_by_run(self, command: NewLocalCommand) -> bool:
        if command.counter > _SEQ_NUMBER_MAXIMUM:
            return False
        query = select(exchanges.c.id).where(
            exchanges.c.originator == command.originator, exchanges.c.counter == command.counter
        )
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def _batches(self, condition: ColumnElement[bool] | None) -> tuple[LocalBatch, ...]:
        query = select(local_batches).order_by(
            local_batches.c.taken_in_at.desc(), local_batches.c.id
        )
        if condition is not None:
            query = query.where(condition)
        with self._database.reading() as connection:
            return tuple(LocalBatch(**row) for row in connection.execute(query).mappings())

    def _commands(self, condition: ColumnElement[bool]) -> tuple[LocalCommand, ...]:
        table = local_commands
        query = select(table).where(condition).order_by(table.c.id)
        with self._database.reading() as connection:
            return tuple(LocalCommand(**row) for row in connection.execute(query).mappings())


def digest_of(commands: Collection[NewLocalCommand]) -> str:
    """Return the digest of a batch: SHA-256 over its commands' digests in order."""
    return hashlib.sha256("".join(each.digest for each in commands).encode("ascii")).hexdigest()


def _values(command: NewLocalCommand) -> dict[str, Any]:
    return {
        "originator": command.originator,
        "counter": command.counter,
        "message_code": command.message_code,
        "request_id": command.request_id,
        "source": command.source,
        "octets": command.octets,
        "digest": command.digest,
        "remarks": command.remarks,
        "expires_at": command.expires_at,
    }


def _replayed(before: LocalCommand | None, now: datetime) -> dict[str, Any]:
    if before is None:
        return {"state": LocalCommandState.WAITING}
    return {
        "state": LocalCommandState.REPLAYED if before.was_carried_out else before.state,
        "answer": before.answer,
        "verification": before.verification,
        "return_id": before.return_id,
        "detail": f"delivered by batch {before.batch_id}: {before.detail}",
        "settled_at": now,
    }
