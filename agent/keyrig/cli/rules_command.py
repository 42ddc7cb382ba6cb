"""`keyrig rules`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyrig.cli.shared_options import json_option, rig_argument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.duties.rules import Requirement, Rules

SCHEMA = 1


@click.command()
@rig_argument
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Show and check this rule file instead of the rig's.",
)
@json_option
def rules(rig: Path | None, file: Path | None, *, as_json: bool) -> int:
    """Show the rule set that holds on RIG: every duty, and how ambiguous texts are read."""
    from keyrig.config.places import places_of
    from keyrig.config.rig_file import load_rig
    from keyrig.duties.rules import load_rules
    from keyrig.run.outlook import rules_of

    if rig is not None and file is not None:
        raise click.UsageError("name a RIG or a --file")
    shown = load_rules(file) if file else rules_of(places_of(load_rig(rig)))
    if as_json:
        document: dict[str, Any] = json.loads(shown.canonical())
        click.echo(json.dumps({"schema": SCHEMA, "digest": shown.digest, **document}))
        return 0
    for line in _lines(shown):
        click.echo(line)
    return 0


def _lines(rules: Rules) -> Iterator[str]:
    yield rules.edition
    yield f"digest {rules.digest}"
    yield ""
    yield "Readings of what the text leaves open"
    for name in type(rules.readings).model_fields:
        reading = getattr(rules.readings, name)
        choice = getattr(reading.choice, "value", reading.choice)
        yield f"  {reading.ambiguity} {name} = {choice}"
        yield f"     {reading.reason}"
    yield ""
    yield "Duties, in the order of the steps on a device"
    for requirement in rules.requirement:
        yield from _requirement_lines(rules, requirement)
    yield ""
    yield "What failing entails"
    for consequence in rules.consequence:
        yield f"  {consequence.id}: Suspended under {consequence.suspend}"
        yield f"     attempts go on under {consequence.retry}"
        how = "must be" if consequence.restoring.value == "must" else "may be"
        yield f"     the status held before {how} set back under {consequence.restore}"
        yield f"     any other change is barred by {consequence.bar} unless Decommissioned"
        if consequence.notify is not None:
            yield f"     {consequence.notify.value} are told under {consequence.notify_clause}"
        if consequence.permission is not None:
            permission = consequence.permission
            types = ", ".join(sorted(each.value for each in permission.device_types))
            yield (
                f"     {permission.clause}: the hub of a {types} so suspended may be replaced "
                f"and returned, reason {permission.reason}"
            )


def _requirement_lines(rules: Rules, requirement: Requirement) -> Iterator[str]:
    types = " ".join(sorted(each.value for each in requirement.device_types))
    days = rules.days(requirement)
    until = f"within {days} days" if days is not None else "no days run"
    yield f"  {requirement.id} {requirement.clause}  {requirement.actor.value}  {types}  {until}"
    yield f"     {requirement.text}"
    yield f"     step {requirement.step.value}, manner {requirement.manner.value}"
    if requirement.exemption is not None:
        yield f"     not owed where: {requirement.exemption.value}"
    for device_type, elsewhere in sorted(
        requirement.met_on.items(), key=lambda each: each[0].value
    ):
        yield f"     for a {device_type.value} it is met on the {elsewhere.value}"
    for device_type, reading in requirement.governed_by.items():
        yield f"     for a {device_type.value} the reading {reading} decides"
    failing = requirement.on_failure or "nothing: the text states no consequence"
    yield f"     failing entails {failing}"
