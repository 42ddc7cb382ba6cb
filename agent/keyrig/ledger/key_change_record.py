"""Key changes of devices, and the certificates that devices may use.

Theory of operation. A key change cannot be taken back, and the device's answer to a command of it
may be lost. So every transition is committed before the command that it announces is sent, or after
the verified response that it reports; a crash leaves the last state that is certain, and
`keyrig.session.steps.regenerate_keys` has the table of what follows from each. The state, the
history of transitions and the certificates in use change in one transaction.

What is verified against which certificate follows from `device_certificates`: `candidates` are
those that the device may use now, and its signature or MAC is accepted under any of them.

| transition to | certificate of this change | other certificates |
|---|---|---|
| storing | becomes a candidate, not certain: CS02d may be executed unseen | stay |
| certificate issued (from storing) | is out of use: the device refused it, verified | stay |
| stored | is certain | stay: the device may still use the old key |
| confirmed | is certain | are out of use |
| abandoned | stays a candidate, not certain, if it was one | stay |

The old certificate goes out of use at confirmed and not before, so that no crash between CS02d and
the exchange under the new key leaves a device whose messages cannot be verified. Certificates that
other parties store are recorded in the same way, without a change (`record_possible`).

At most one change is open per device and usage, whichever process asks: a second CS02c would
replace the pending key pair under the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from gbcs.roles import KeyUsage
from keyrig.base.errors import LedgerRefused
from keyrig.domain.key_changes import (
    KEY_CHANGE_ENDS,
    KEY_CHANGE_MOVES,
    AuthorityAsked,
    DeviceCertificate,
    KeyChange,
    KeyChangeMove,
    KeyChangeState,
)
from keyrig.ledger.schema import (
    certification_requests,
    device_certificates,
    key_change_moves,
    key_changes,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, RowMapping, Table

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.database import Database


class KeyChanges:
    """Records key changes; at most one is open per device and key usage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def request(
        self, device: EntityIdentifier, key_usage: KeyUsage, run_id: str | None, now: datetime
    ) -> KeyChange:
        """Open a change, before CS02c is sent.

        Raises:
            LedgerRefused: One is open for that device and usage, or `key_usage` is not one
                that a device's own key has.
        """
        if key_usage not in {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT}:
            raise LedgerRefused(
                f"device {device}", f"a device has no own key for {key_usage.gbcs_name}"
            )
        with self._database.transaction() as connection:
            standing = self.open(device, key_usage)
            if standing is not None:
                raise LedgerRefused(
                    f"device {device}",
                    f"its {key_usage.gbcs_name} key is being changed already "
                    f"({standing.state.value})",
                )
            inserted = connection.execute(
                insert(key_changes).values(
                    device=device,
                    key_usage=int(key_usage),
                    state=KeyChangeState.REQUESTED,
                    run_id=run_id,
                    requested_at=now,
                    changed_at=now,
                    ended=False,
                )
            )
            assert inserted.inserted_primary_key is not None
            change_id = int(inserted.inserted_primary_key[0])
            _record_move(connection, change_id, KeyChangeState.REQUESTED, now, "")
            return self.change(change_id)

    def csr_received(self, change_id: int, csr: bytes, now: datetime) -> KeyChange:
        """Record the device's certification request, before it is used."""
        return self._advance(change_id, KeyChangeState.CSR_RECEIVED, now, csr=csr)

    def waiting_for_authority(
        self, change_id: int, now: datetime, *, authority: str, answer: str, folder: str | None
    ) -> KeyChange:
        """Record that an authority has the request and has not certified it yet.

        Args:
            change_id: The change.
            now: The present instant; the change waits since it was first recorded so.
            authority: The authority's name.
            answer: Its answer, in one line; safe to print.
            folder: The folder with the request's files, or None.
        """
        table = certification_requests
        values = {"authority": authority, "answer": answer, "folder": folder, "asked_at": now}
        with self._database.transaction() as connection:
            if self.change(change_id).state is not KeyChangeState.WAITING_FOR_AUTHORITY:
                self._advance(
                    change_id, KeyChangeState.WAITING_FOR_AUTHORITY, now, detail=authority
                )
            changed = connection.execute(
                update(table).where(table.c.key_change_id == change_id).values(**values)
            )
            if not changed.rowcount:
                connection.execute(insert(table).values(key_change_id=change_id, **values))
            return self.change(change_id)

    def asked(self, change_id: int) -> AuthorityAsked:
        """Return the authority that has the request of a change, and its last answer.

        Raises:
            LedgerRefused: None has it.
        """
        table = certification_requests
        with self._database.reading() as connection:
            row = connection.execute(
                select(table).where(table.c.key_change_id == change_id)
            ).one_or_none()
        if row is None:
            raise LedgerRefused(f"key change {change_id}", "no authority has its request")
        return AuthorityAsked(
            authority=row.authority, answer=row.answer, folder=row.folder, at=row.asked_at
        )

    def all_waiting(self, devices: Collection[EntityIdentifier] = ()) -> tuple[KeyChange, ...]:
        """Return the changes whose requests wait for the authority, the longest waiting first.

        Args:
            devices: The devices; all where empty.
        """
        waits = key_changes.c.state == KeyChangeState.WAITING_FOR_AUTHORITY
        if devices:
            waits &= key_changes.c.device.in_(list(devices))
        found = self._select(waits)
        return tuple(sorted(found, key=lambda change: (change.changed_at, change.id)))

    def certificate_issued(self, change_id: int, certificate: bytes, now: datetime) -> KeyChange:
        """Record the certificate that the authority issued."""
        return self._advance(
            change_id,
            KeyChangeState.CERTIFICATE_ISSUED,
            now,
            certificate=certificate,
            allowed_from=frozenset(
                {KeyChangeState.CSR_RECEIVED, KeyChangeState.WAITING_FOR_AUTHORITY}
            ),
        )

    def storing(self, change_id: int, now: datetime) -> KeyChange:
        """Record that CS02d is about to be sent; from now the device may use the certificate."""
        return self._advance(change_id, KeyChangeState.STORING, now)

    def refused_by_device(self, change_id: int, now: datetime, *, detail: str) -> KeyChange:
        """Record that a verified response says the certificate was not stored."""
        return self._advance(
            change_id,
            KeyChangeState.CERTIFICATE_ISSUED,
            now,
            detail=detail,
            allowed_from=frozenset({KeyChangeState.STORING}),
        )

    def stored(self, change_id: int, now: datetime) -> KeyChange:
        """Record that a verified response says the certificate was stored."""
        return self._advance(change_id, KeyChangeState.STORED, now)

    def confirmed(self, change_id: int, now: datetime) -> KeyChange:
        """Record that the device reported the certificate and used its key.

        Older certificates are out of use from now on, and not before.
        """
        return self._advance(change_id, KeyChangeState.CONFIRMED, now)

    def abandoned(self, change_id: int, now: datetime, *, detail: str) -> KeyChange:
        """Abandon a change.

        A certificate that the device may have stored stays among its candidates, after those that
        it is known to use.
        """
        return self._advance(change_id, KeyChangeState.ABANDONED, now, detail=detail)

    def change(self, change_id: int) -> KeyChange:
        """Return a change.

        Raises:
            LedgerRefused: There is none of that id.
        """
        found = self._select(key_changes.c.id == change_id)
        if not found:
            raise LedgerRefused(f"key change {change_id}", "there is no such key change")
        return found[0]

    def open(self, device: EntityIdentifier, key_usage: KeyUsage) -> KeyChange | None:
        """Return the open change of a device and usage, or None."""
        found = self._select(_of(key_changes, device, key_usage) & key_changes.c.ended.is_(False))
        return found[0] if found else None

    def history(self, device: EntityIdentifier, key_usage: KeyUsage) -> tuple[KeyChange, ...]:
        """Return the changes of a device and usage, oldest first."""
        return self._select(_of(key_changes, device, key_usage))

    def moves(self, change_id: int) -> tuple[KeyChangeMove, ...]:
        """Return the transitions of a change, oldest first."""
        table = key_change_moves
        query = select(table.c.state, table.c.at, table.c.detail)
        with self._database.reading() as connection:
            rows = connection.execute(
                query.where(table.c.key_change_id == change_id).order_by(table.c.id)
            ).mappings()
            return tuple(KeyChangeMove(**row) for row in rows)

    def confirmed_usages(
        self, device: EntityIdentifier, since: datetime | None
    ) -> frozenset[KeyUsage]:
        """Return the usages whose newest change was confirmed at or after `since`."""
        confirmed = set()
        for key_usage in (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT):
            changes = self.history(device, key_usage)
            if (
                changes
                and changes[-1].state is KeyChangeState.CONFIRMED
                and (since is None or changes[-1].changed_at >= since)
            ):
                confirmed.add(key_usage)
        return frozenset(confirmed)

    def record_in_use(
        self, device: EntityIdentifier, key_usage: KeyUsage, certificate: bytes, now: datetime
    ) -> None:
        """Record a certificate (DER) known from elsewhere to be in use, unless it is held."""
        self._record_from_elsewhere(device, key_usage, certificate, now, certain=True)

    def record_possible(
        self, device: EntityIdentifier, key_usage: KeyUsage, certificate: bytes, now: datetime
    ) -> None:
        """Record a certificate (DER) that another party's CS02d is about to bring to the device."""
        self._record_from_elsewhere(device, key_usage, certificate, now, certain=False)

    def withdraw_possible(
        self, device: EntityIdentifier, key_usage: KeyUsage, certificate: bytes, now: datetime
    ) -> None:
        """Record that the device did not store the certificate of another party's CS02d."""
        table = device_certificates
        with self._database.transaction() as connection:
            connection.execute(
                update(table)
                .where(
                    _of(table, device, key_usage),
                    table.c.certificate == certificate,
                    table.c.until.is_(None),
                    table.c.certain.is_(False),
                    table.c.key_change_id.is_(None),
                )
                .values(until=now)
            )

    def candidates(
        self, device: EntityIdentifier, key_usage: KeyUsage
    ) -> tuple[DeviceCertificate, ...]:
        """Return the certificates that a device may use now, newest first."""
        return tuple(
            certificate
            for certificate in reversed(self.certificates(device, key_usage))
            if certificate.until is None
        )

    def certificates(
        self, device: EntityIdentifier, key_usage: KeyUsage
    ) -> tuple[DeviceCertificate, ...]:
        """Return every certificate known of a device and usage, oldest first."""
        table = device_certificates
        query = (
            select(
                table.c.certificate,
                table.c.certain,
                table.c.since,
                table.c.until,
                table.c.key_change_id,
            )
            .where(_of(table, device, key_usage))
            .order_by(table.c.id)
        )
        with self._database.reading() as connection:
            return tuple(DeviceCertificate(**row) for row in connection.execute(query).mappings())

    def _select(self, condition: ColumnElement[bool]) -> tuple[KeyChange, ...]:
        query = select(key_changes).where(condition).order_by(key_changes.c.id)
        with self._database.reading() as connection:
            return tuple(_key_change(row) for row in connection.execute(query).mappings())

    def _record_from_elsewhere(
        self,
        device: EntityIdentifier,
        key_usage: KeyUsage,
        certificate: bytes,
        now: datetime,
        *,
        certain: bool,
    ) -> None:
        table = device_certificates
        with self._database.transaction() as connection:
            held = {c.certificate for c in self.candidates(device, key_usage)}
            if certificate not in held:
                _add_certificate(
                    connection, device, key_usage, certificate, now, certain=certain, change=None
                )
            elif certain:
                connection.execute(
                    update(table)
                    .where(
                        _of(table, device, key_usage),
                        table.c.certificate == certificate,
                        table.c.until.is_(None),
                        table.c.key_change_id.is_(None),
                    )
                    .values(certain=True)
                )

    def _advance(
        self,
        change_id: int,
        to: KeyChangeState,
        now: datetime,
        *,
        detail: str = "",
        csr: bytes | None = None,
        certificate: bytes | None = None,
        allowed_from: frozenset[KeyChangeState] = frozenset(KeyChangeState),
    ) -> KeyChange:
        with self._database.transaction() as connection:
            change = self.change(change_id)
            if to not in KEY_CHANGE_MOVES[change.state] or change.state not in allowed_from:
                raise LedgerRefused(
                    f"device {change.device}",
                    f"its {change.key_usage.gbcs_name} key change cannot go from "
                    f"{change.state.value} to {to.value}",
                )
            values = {"state": to, "changed_at": now, "ended": to in KEY_CHANGE_ENDS}
            brought = {"csr": csr, "certificate": certificate}
            values |= {name: octets for name, octets in brought.items() if octets is not None}
            connection.execute(
                update(key_changes).where(key_changes.c.id == change_id).values(**values)
            )
            _record_move(connection, change_id, to, now, detail)
            _move_certificates(connection, change, to, now)
            return self.change(change_id)


def _of(table: Table, device: EntityIdentifier, key_usage: KeyUsage) -> ColumnElement[bool]:
    return (table.c.device == device) & (table.c.key_usage == int(key_usage))


def _key_change(row: RowMapping) -> KeyChange:
    values = dict(row)
    del values["ended"]
    return KeyChange(**values | {"key_usage": KeyUsage(values["key_usage"])})


def _record_move(
    connection: Connection, change_id: int, state: KeyChangeState, now: datetime, detail: str
) -> None:
    connection.execute(
        insert(key_change_moves).values(key_change_id=change_id, state=state, at=now, detail=detail)
    )


def _add_certificate(
    connection: Connection,
    device: EntityIdentifier,
    key_usage: KeyUsage,
    certificate: bytes,
    now: datetime,
    *,
    certain: bool,
    change: int | None,
) -> None:
    connection.execute(
        insert(device_certificates).values(
            device=device,
            key_usage=int(key_usage),
            certificate=certificate,
            certain=certain,
            since=now,
            key_change_id=change,
        )
    )


def _move_certificates(
    connection: Connection, change: KeyChange, to: KeyChangeState, now: datetime
) -> None:
    """Update the certificates in use for a transition of a change."""
    table = device_certificates
    in_use = _of(table, change.device, change.key_usage) & table.c.until.is_(None)
    its_own = in_use & (table.c.key_change_id == change.id)
    if to is KeyChangeState.STORING:
        assert change.certificate is not None
        _add_certificate(
            connection,
            change.device,
            change.key_usage,
            change.certificate,
            now,
            certain=False,
            change=change.id,
        )
    elif to is KeyChangeState.ABANDONED:
        connection.execute(update(table).where(its_own).values(certain=False))
    elif to is KeyChangeState.CERTIFICATE_ISSUED:
        connection.execute(update(table).where(its_own).values(until=now))
    elif to in {KeyChangeState.STORED, KeyChangeState.CONFIRMED}:
        connection.execute(update(table).where(its_own).values(certain=True))
        if to is KeyChangeState.CONFIRMED:
            others = in_use & (
                table.c.key_change_id.is_(None) | (table.c.key_change_id != change.id)
            )
            connection.execute(update(table).where(others).values(until=now))
