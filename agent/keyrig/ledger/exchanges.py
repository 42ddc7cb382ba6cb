"""Exchanges with devices, recorded before the command is sent and after the response came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from keyrig.base.errors import LedgerRefused
from keyrig.domain.states import ExchangeOutcome
from keyrig.ledger.schema import alerts, exchanges

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One command to a device and its answer; `outcome` is None until it is known.

    A command that the DCC made itself is not known here, and empty; the service request for
    it is among the service documents.
    """

    id: int
    run_id: str
    attempt_id: int | None
    device: EntityIdentifier
    originator: EntityIdentifier
    counter: int
    message_code: int
    command: bytes = field(repr=False)
    sent_at: datetime
    response: bytes | None = field(repr=False)
    verified: bool | None
    outcome: ExchangeOutcome | None
    detail: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert that a device sent unasked; `alert_code` is None where it did not decode."""

    id: int
    run_id: str | None
    device: EntityIdentifier
    alert_code: int | None
    octets: bytes = field(repr=False)
    verified: bool
    detail: str
    received_at: datetime


class Exchanges:
    """Records every command, response and alert, octet by octet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_command(
        self,
        command: bytes,
        *,
        run_id: str,
        attempt_id: int | None,
        device: EntityIdentifier,
        originator: EntityIdentifier,
        counter: int,
        message_code: int,
        now: datetime,
    ) -> int:
        """Record a command that is about to be sent; return the exchange's id.

        Sending the same octets again is the same exchange.

        Raises:
            LedgerRefused: The originator's counter was used before.
        """
        with self._database.transaction() as connection:
            inserted = connection.execute(
                insert(exchanges).values(
                    run_id=run_id,
                    attempt_id=attempt_id,
                    device=device,
                    originator=originator,
                    counter=counter,
                    message_code=message_code,
                    command=command,
                    sent_at=now,
                )
            )
            assert inserted.inserted_primary_key is not None
            return int(inserted.inserted_primary_key[0])

    def record_outcome(
        self,
        exchange_id: int,
        outcome: ExchangeOutcome,
        now: datetime,
        *,
        response: bytes | None = None,
        detail: str = "",
    ) -> None:
        """Record how an exchange ended, with the octets of the response if one came.

        Raises:
            LedgerRefused: It has ended already, or there is none; or a response is missing.
        """
        answered = outcome in {ExchangeOutcome.VERIFIED, ExchangeOutcome.REJECTED}
        if answered and response is None:
            raise LedgerRefused(f"exchange {exchange_id}", f"{outcome.value} without a response")
        verified = outcome is ExchangeOutcome.VERIFIED if response is not None else None
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(exchanges)
                .where(
                    exchanges.c.id == exchange_id,
                    exchanges.c.outcome.is_(None)
                    | (exchanges.c.outcome == ExchangeOutcome.INTERRUPTED),
                )
                .values(
                    response=response,
                    verified=verified,
                    outcome=outcome,
                    detail=detail,
                    finished_at=now,
                )
            )
            if not changed.rowcount:
                raise LedgerRefused(f"exchange {exchange_id}", "it is not under way")

    def record_alert(
        self,
        octets: bytes,
        *,
        device: EntityIdentifier,
        alert_code: int | None,
        verified: bool,
        now: datetime,
        run_id: str | None = None,
        detail: str = "",
    ) -> int:
        """Record an alert; return its id."""
        with self._database.transaction() as connection:
            inserted = connection.execute(
                insert(alerts).values(
                    run_id=run_id,
                    device=device,
                    alert_code=alert_code,
                    octets=octets,
                    verified=verified,
                    detail=detail,
                    received_at=now,
                )
            )
            assert inserted.inserted_primary_key is not None
            return int(inserted.inserted_primary_key[0])

    def command_of(self, exchange_id: int) -> bytes:
        """Return the command of an exchange.

        Raises:
            LedgerRefused: There is no such exchange.
        """
        found = self._exchanges(exchanges.c.id == exchange_id)
        if not found:
            raise LedgerRefused(f"exchange {exchange_id}", "there is no such exchange")
        return found[0].command

    def of_attempt(self, attempt_id: int) -> tuple[Exchange, ...]:
        """Return the exchanges of an attempt, oldest first."""
        return self._exchanges(exchanges.c.attempt_id == attempt_id)

    def of_run(self, run_id: str) -> tuple[Exchange, ...]:
        """Return the exchanges of a run, oldest first."""
        return self._exchanges(exchanges.c.run_id == run_id)

    def last_of_device(self, device: EntityIdentifier, message_code: int) -> Exchange | None:
        """Return the newest exchange of a message code with a device, or None."""
        found = self._exchanges(
            (exchanges.c.device == device) & (exchanges.c.message_code == message_code)
        )
        return found[-1] if found else None

    def answers_to_the_dcc(self, device: EntityIdentifier) -> tuple[bytes, ...]:
        """Return a device's verified answers to commands that the DCC made, newest first."""
        query = (
            select(exchanges.c.response)
            .where(
                exchanges.c.device == device,
                exchanges.c.command == b"",
                exchanges.c.outcome == ExchangeOutcome.VERIFIED,
            )
            .order_by(exchanges.c.id.desc())
        )
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())

    def alerts_of(self, device: EntityIdentifier) -> tuple[Alert, ...]:
        """Return the alerts of a device, oldest first."""
        query = select(alerts).where(alerts.c.device == device).order_by(alerts.c.id)
        with self._database.reading() as connection:
            return tuple(Alert(**row) for row in connection.execute(query).mappings())

    def _exchanges(self, condition: ColumnElement[bool]) -> tuple[Exchange, ...]:
        query = select(exchanges).where(condition).order_by(exchanges.c.id)
        with self._database.reading() as connection:
            return tuple(Exchange(**row) for row in connection.execute(query).mappings())
