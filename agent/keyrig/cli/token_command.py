"""`keyrig token`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from keyrig.base.clock import instant_text
from keyrig.cli.shared_options import json_option

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from keyrig.domain.api_tokens import Token

SCHEMA = 1
SCOPES = ("read", "run", "keys")
NEVER = "never"


class _Duration(click.ParamType["timedelta | None"]):
    """A duration such as 30d, or never."""

    name = "DURATION"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta | None:
        from keyrig.domain.api_tokens import read_duration

        if value == NEVER:
            return None
        try:
            return read_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def token() -> None:
    """Make, list and revoke tokens of the API; they are stored as hashes only."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="read: everything that changes nothing. run: runs, facts, deliveries. keys: "
    "certificates. May be repeated; none includes another.",
)
@click.option(
    "--expires",
    "lasts",
    type=_Duration(),
    default="90d",
    show_default=True,
    help="How long it holds, such as 12h, 30d or 4w, or never.",
)
@json_option
def create(name: str, scopes: tuple[str, ...], lasts: timedelta | None, *, as_json: bool) -> int:
    """Make a token for NAME, a person or a program, and print it: it is shown this once."""
    import os

    from keyrig.base.clock import utc_now
    from keyrig.config.places import ledger_path
    from keyrig.domain.api_tokens import Scope, new_token
    from keyrig.ledger.ledger import Ledger

    if not name.isprintable() or not name.strip() or len(name) > 80:
        raise click.BadParameter("it is one line of 1 to 80 characters", param_hint="NAME")
    made, text = new_token(
        name, frozenset(map(Scope, scopes)), now=utc_now(), lasts=lasts, random=os.urandom
    )
    with Ledger(ledger_path(make=True)) as ledger:
        ledger.tokens.add(made)
    if as_json:
        document = _document(made, made.created_at)
        click.echo(json.dumps({"schema": SCHEMA, "token": text, **document}))
        return 0
    click.echo(text)
    until = f"until {made.expires_at:%Y-%m-%d %H:%M:%SZ}" if made.expires_at else "until revoked"
    click.echo(f"{name}: {' '.join(sorted(scopes))}, {until}; it is not shown again", err=True)
    return 0


@token.command("list")
@json_option
def list_(*, as_json: bool) -> int:
    """List tokens: whose they are, what they allow, until when."""
    from keyrig.base.clock import utc_now
    from keyrig.config.places import ledger_path
    from keyrig.ledger.ledger import Ledger

    now = utc_now()
    with Ledger(ledger_path(make=True)) as ledger:
        documents = [_document(each, now) for each in ledger.tokens.all()]
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "tokens": documents}))
        return 0
    for each in documents:
        until = f"until {each['expires_at'][:19]}Z" if each["expires_at"] else "until revoked"
        state = "" if each["state"] == "holds" else f"  {each['state']}"
        click.echo(f"{each['id']}  {each['name']:24} {' '.join(each['scopes']):14} {until}{state}")
    if not documents:
        click.echo("there is none; `keyrig token create NAME --scope read` makes one")
    return 0


@token.command()
@click.argument("name")
@json_option
def revoke(name: str, *, as_json: bool) -> int:
    """Revoke the token of a NAME or id; it is refused from now on, also where it watches events."""
    from keyrig.base.clock import utc_now
    from keyrig.config.places import ledger_path
    from keyrig.ledger.ledger import Ledger

    with Ledger(ledger_path(make=True)) as ledger:
        revoked = ledger.tokens.revoke(name, utc_now())
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "revoked": [each.id for each in revoked]}))
        return 0
    for each in revoked:
        click.echo(f"{each.id}  {each.name}: revoked")
    return 0


def _document(made: Token, now: datetime) -> dict[str, Any]:
    fault = made.fault(now)
    return {
        "id": made.id,
        "name": made.name,
        "scopes": sorted(scope.value for scope in made.scopes),
        "created_at": instant_text(made.created_at),
        "expires_at": instant_text(made.expires_at) if made.expires_at else None,
        "revoked_at": instant_text(made.revoked_at) if made.revoked_at else None,
        "state": fault.value if fault else "holds",
    }
