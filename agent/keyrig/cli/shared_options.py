"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier

F = TypeVar("F", bound="Callable[..., Any]")


def rig_argument(function: F) -> F:
    """Add the argument for the rig file; without it, the emulated home is used."""
    return click.argument(
        "rig", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[RIG]"
    )(function)


def json_option(function: F) -> F:
    """Add the option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(
        function
    )


def device_option(function: F) -> F:
    """Add the option `--device`, which may be repeated."""
    return click.option(
        "--device",
        "device_texts",
        multiple=True,
        metavar="EUI",
        help="Only this device, by its Entity Identifier; may be given several times.",
    )(function)


def broker_option(function: F) -> F:
    """Add the option `--acb`, the access control broker's Entity Identifier as text."""
    return click.option(
        "--acb",
        default="90-B3-D5-1F-30-00-00-02",
        show_default=True,
        metavar="EUI",
        help="Entity Identifier of the access control broker, whose key MACs commands.",
    )(function)


def parse_devices(texts: tuple[str, ...], option: str = "--device") -> tuple[EntityIdentifier, ...]:
    """Return the Entity Identifiers of an option's values.

    Raises:
        click.BadParameter: One is none.
    """
    from gbcs.entity_identifier import EntityIdentifier

    try:
        return tuple(EntityIdentifier.parse(text) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


class EntityType(click.ParamType["EntityIdentifier"]):
    """An Entity Identifier."""

    name = "EUI"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> EntityIdentifier:
        """Return the Entity Identifier of a value, or fail as usage that is wrong."""
        from gbcs.entity_identifier import EntityIdentifier

        try:
            return EntityIdentifier.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class InstantType(click.ParamType["datetime"]):
    """An instant with its zone, such as 2026-11-20T09:00:00Z; converted to UTC."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the instant of a value in UTC, or fail as usage that is wrong."""
        from datetime import UTC, datetime

        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no instant such as 2026-11-20T09:00:00Z", param, ctx)
        if instant.tzinfo is None:
            self.fail(f"{value!r} needs its zone; write Z for UTC", param, ctx)
        return instant.astimezone(UTC)
