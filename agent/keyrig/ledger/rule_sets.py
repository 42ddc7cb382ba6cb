"""The rule sets by which duties in the ledger were planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from keyrig.base.errors import LedgerRefused
from keyrig.duties.rules import rules_from_canonical
from keyrig.ledger.schema import rule_sets

if TYPE_CHECKING:
    from datetime import datetime

    from keyrig.duties.rules import Rules
    from keyrig.ledger.database import Database


class RuleSets:
    """Records each rule set once, by the digest of its canonical text."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read: dict[str, Rules] = {}

    def keep(self, rules: Rules, now: datetime) -> str:
        """Record a rule set, unless it is recorded already; return its digest."""
        digest, table = rules.digest, rule_sets
        with self._database.transaction() as connection:
            known = select(table.c.digest).where(table.c.digest == digest)
            if connection.execute(known).one_or_none() is None:
                connection.execute(
                    insert(table).values(
                        digest=digest,
                        edition=rules.edition,
                        text=rules.canonical(),
                        recorded_at=now,
                    )
                )
        self._read.setdefault(digest, rules)
        return digest

    def rules(self, digest: str) -> Rules:
        """Return the rule set of a digest.

        Raises:
            LedgerRefused: There is none of that digest.
            RulesInvalid: This keyrig cannot read it.
        """
        if digest not in self._read:
            query = select(rule_sets.c.text).where(rule_sets.c.digest == digest)
            with self._database.reading() as connection:
                text = connection.execute(query).scalar_one_or_none()
            if text is None:
                raise LedgerRefused(f"rule set {digest[:16]}", "there is no such rule set")
            self._read[digest] = rules_from_canonical(text, f"rule set {digest[:16]}")
        return self._read[digest]
