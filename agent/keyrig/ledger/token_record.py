"""The API's tokens: their hashes, scopes and expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from gbcs.printable import printable
from keyrig.base.errors import LedgerRefused, SettingsError
from keyrig.domain.api_tokens import Scope, Token
from keyrig.ledger.schema import api_tokens

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import RowMapping

    from keyrig.ledger.database import Database


class Tokens:
    """Records the API's tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token) -> None:
        """Record a token.

        Raises:
            LedgerRefused: One that is in force has its name.
        """
        with self._database.transaction() as connection:
            stands = [each for each in self.all() if each.name == token.name]
            if any(each.fault(token.created_at) is None for each in stands):
                raise LedgerRefused(
                    f"token {token.name[:80]}",
                    "one of that name is in force",
                    "revoke it, or choose another name",
                )
            connection.execute(
                insert(api_tokens).values(
                    id=token.id,
                    name=token.name,
                    digest=token.digest,
                    scopes=" ".join(sorted(scope.value for scope in token.scopes)),
                    created_at=token.created_at,
                    expires_at=token.expires_at,
                )
            )

    def all(self) -> tuple[Token, ...]:
        """Return every token, with those no longer valid, oldest first."""
        query = select(api_tokens).order_by(api_tokens.c.created_at, api_tokens.c.id)
        with self._database.reading() as connection:
            return tuple(_token(row) for row in connection.execute(query).mappings())

    def revoke(self, name: str, now: datetime) -> tuple[Token, ...]:
        """Revoke the tokens of a name, or the one of an id, not revoked yet; return them.

        Raises:
            SettingsError: There is none.
        """
        with self._database.transaction() as connection:
            found = [
                each for each in self.all() if name in {each.name, each.id} and not each.revoked_at
            ]
            if not found:
                raise SettingsError(
                    f"token {printable(name, 80)}",
                    "none of that name or id can be revoked",
                    "see `keyrig token list`",
                )
            connection.execute(
                update(api_tokens)
                .where(api_tokens.c.id.in_([each.id for each in found]))
                .values(revoked_at=now)
            )
        return tuple(found)


def _token(row: RowMapping) -> Token:
    values = dict(row)
    scopes = frozenset(Scope(text) for text in values.pop("scopes").split())
    return Token(scopes=scopes, **values)
