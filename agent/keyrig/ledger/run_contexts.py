"""The rules, parties and certificates of runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from keyrig.ledger.schema import certificates, run_certificates, run_contexts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from keyrig.ledger.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """The context of a run.

    Args:
        rule_set: The digest of the rule set.
        parties: The parties by name, whose duties are carried out, and the devices that the
            run was to reach; plain JSON.
        agent_version: The version of keyrig.
    """

    rule_set: str
    parties: Mapping[str, Any]
    agent_version: str


class RunContexts:
    """Records the context of each run, and the public certificates that it used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, run_id: str, context: RunContext) -> None:
        """Record the context of a run."""
        with self._database.transaction() as connection:
            connection.execute(
                insert(run_contexts).values(
                    run_id=run_id,
                    rule_set=context.rule_set,
                    parties=json.dumps(dict(context.parties), sort_keys=True),
                    agent_version=context.agent_version,
                )
            )

    def context(self, run_id: str) -> RunContext | None:
        """Return the context of a run; None for one by a keyrig that did not record it."""
        table = run_contexts
        query = select(table.c.rule_set, table.c.parties, table.c.agent_version)
        with self._database.reading() as connection:
            row = connection.execute(query.where(table.c.run_id == run_id)).one_or_none()
        if row is None:
            return None
        return RunContext(
            rule_set=row.rule_set,
            parties=json.loads(row.parties),
            agent_version=row.agent_version,
        )

    def keep_certificates(self, run_id: str, ders: Iterable[bytes], now: datetime) -> None:
        """Record certificates that a run uses, each once."""
        known, used = certificates, run_certificates
        with self._database.transaction() as connection:
            for der in ders:
                fingerprint = hashlib.sha256(der).hexdigest()
                stands = select(known.c.fingerprint).where(known.c.fingerprint == fingerprint)
                if connection.execute(stands).one_or_none() is None:
                    connection.execute(
                        insert(known).values(fingerprint=fingerprint, der=der, recorded_at=now)
                    )
                mine = (used.c.run_id == run_id) & (used.c.fingerprint == fingerprint)
                if connection.execute(select(used.c.run_id).where(mine)).one_or_none() is None:
                    connection.execute(insert(used).values(run_id=run_id, fingerprint=fingerprint))

    def certificates(self, run_id: str) -> tuple[bytes, ...]:
        """Return the DER of the certificates that a run used, in order of their fingerprints."""
        known, used = certificates, run_certificates
        query = (
            select(known.c.der)
            .join(used, used.c.fingerprint == known.c.fingerprint)
            .where(used.c.run_id == run_id)
            .order_by(known.c.fingerprint)
        )
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())
