"""Documents between the agent and the DCC, octet by octet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select, update

from keyrig.base.errors import LedgerRefused
from keyrig.domain.states import ServiceDocumentKind
from keyrig.ledger.schema import exchanges, service_documents

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database

_LEDGER_COUNTER_MAXIMUM: Final = 2**63 - 1
"""The greatest value of the column; counters of ours are below, others may not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The context of a document, as far as it is known.

    Args:
        run_id: The run during which it was sent or received.
        exchange_id: The exchange.
        device: The device.
        request_id: The RequestID in it.
    """

    run_id: str | None = None
    exchange_id: int | None = None
    device: EntityIdentifier | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDocument:
    """One document.

    Args:
        id: Its number.
        run_id: The run during which it was sent or received; None outside any run.
        exchange_id: The exchange that it belongs to, if it belongs to one.
        device: The device that it is about, where it tells.
        request_id: The RequestID in it, or "".
        kind: Its kind.
        service: The service that it was sent to, or "receive" for an unsolicited one.
        document: The document, octet by octet.
        signer: The signer by whose signature it was accepted; "" where it was not verified,
            or sent.
        at: When it was about to be sent, or was received.
        taken_at: When it was processed; None for one that still waits for that.
        detail: Its outcome, where there is something to add.
    """

    id: int
    run_id: str | None
    exchange_id: int | None
    device: EntityIdentifier | None
    request_id: str
    kind: ServiceDocumentKind
    service: str
    document: bytes = field(repr=False)
    signer: str
    at: datetime
    taken_at: datetime | None
    detail: str

    @property
    def is_sent(self) -> bool:
        """True if the agent sent it."""
        return self.kind is ServiceDocumentKind.REQUEST


class ServiceDocuments:
    """Records every document, sent or received; rows are never removed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        document: bytes,
        *,
        kind: ServiceDocumentKind,
        service: str,
        now: datetime,
        about: About,
        signer: str = "",
        is_taken: bool = True,
    ) -> int:
        """Record a document that is about to be sent, or was received; return its number.

        Args:
            document: The document.
            kind: Its kind.
            service: The service that it is sent to, or came from.
            now: The present instant.
            about: Its context.
            signer: The signer by whose signature it is accepted.
            is_taken: Whether it needs no processing.
        """
        with self._database.transaction() as connection:
            inserted = connection.execute(
                insert(service_documents).values(
                    run_id=about.run_id,
                    exchange_id=about.exchange_id,
                    device=about.device,
                    request_id=about.request_id,
                    kind=kind,
                    service=service,
                    document=document,
                    signer=signer,
                    at=now,
                    taken_at=now if is_taken else None,
                )
            )
            assert inserted.inserted_primary_key is not None
            return int(inserted.inserted_primary_key[0])

    def has(self, document: bytes, about: About) -> bool:
        """Return True if the same octets were received before in the same context."""
        table = service_documents
        is_about = (
            table.c.device.is_(None) if about.device is None else (table.c.device == about.device)
        )
        query = (
            select(table.c.id)
            .where(table.c.request_id == about.request_id, is_about, table.c.document == document)
            .limit(1)
        )
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def take(self, document_id: int, now: datetime, detail: str = "") -> None:
        """Record that a document has been processed.

        Raises:
            LedgerRefused: It has been already, or there is none.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(service_documents)
                .where(
                    service_documents.c.id == document_id, service_documents.c.taken_at.is_(None)
                )
                .values(taken_at=now, detail=detail)
            )
            if not changed.rowcount:
                raise LedgerRefused(f"service document {document_id}", "it does not wait")

    def waiting(
        self, device: EntityIdentifier | None, kinds: Collection[ServiceDocumentKind]
    ) -> tuple[ServiceDocument, ...]:
        """Return the unprocessed documents about a device, or about none."""
        table = service_documents
        about = table.c.device.is_(None) if device is None else table.c.device == device
        return self._documents(table.c.taken_at.is_(None) & about & table.c.kind.in_(kinds))

    def of_exchange(self, exchange_id: int) -> tuple[ServiceDocument, ...]:
        """Return the documents of an exchange, in the order in which they were recorded."""
        return self._documents(service_documents.c.exchange_id == exchange_id)

    def of_run(self, run_id: str) -> tuple[ServiceDocument, ...]:
        """Return the documents of a run, in the order in which they were recorded."""
        return self._documents(service_documents.c.run_id == run_id)

    def exchange_of(self, originator: EntityIdentifier, counter: int) -> int | None:
        """Return the exchange whose request had a counter of an originator, or None."""
        if counter > _LEDGER_COUNTER_MAXIMUM:
            return None
        query = select(exchanges.c.id).where(
            exchanges.c.originator == originator, exchanges.c.counter == counter
        )
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def _documents(self, condition: ColumnElement[bool]) -> tuple[ServiceDocument, ...]:
        query = select(service_documents).where(condition).order_by(service_documents.c.id)
        with self._database.reading() as connection:
            return tuple(ServiceDocument(**row) for row in connection.execute(query).mappings())
