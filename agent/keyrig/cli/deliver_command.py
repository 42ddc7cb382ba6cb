"""`keyrig deliver`."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyrig.base import events
from keyrig.cli.shared_options import EntityType, InstantType, json_option

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.observing import Observer
    from keyrig.config.rig_file import Rig
    from keyrig.delivery.field_mode import Handover
    from keyrig.domain.states import BatchRule
    from keyrig.session.transcript import TranscriptFile

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("files", nargs=-1, type=_FILE, metavar="[FILE...]")
@click.option("--device", type=EntityType(), help="The device that the commands are for.")
@click.option("--rig", type=_FILE, metavar="RIG", help="The rig file; the emulated home without.")
@click.option("--output", type=_FILE, metavar="DIR", help="Write each answer as DUIS 8.13 there.")
@click.option("--expires", type=InstantType(), help="Until when the commands may be sent.")
@click.option("--go-on", is_flag=True, help="Go on behind a command that was not carried out.")
@click.option("--resume", metavar="BATCH", help="Go on with a batch, by the beginning of its id.")
@click.option("--withdraw", metavar="BATCH", help="Give up what is left of a batch.")
@click.option("--list", "is_listing", is_flag=True, help="Show the batches; of --device, if given.")
@click.option("--dry-run", is_flag=True, help="Check the commands; record and send nothing.")
@click.option(
    "--certificate",
    "certificates",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="A public certificate to check signatures by, PEM; may be given several times.",
)
@click.option("--return-as", type=EntityType(), help="Who returns the answers to the DCC.")
@click.option("--sign-as", type=EntityType(), help="Sign them by this party's key, and as it.")
@click.option(
    "--transcript", type=_FILE, metavar="FILE", help="Append each message to FILE as a JSON line."
)
@click.option("--accept-clock", is_flag=True, help="Go on although the clock disagrees.")
@json_option
def deliver(  # noqa: PLR0913 - as many as there are options
    *,
    files: tuple[Path, ...],
    device: EntityIdentifier | None,
    rig: Path | None,
    output: Path | None,
    expires: datetime | None,
    resume: str | None,
    withdraw: str | None,
    certificates: tuple[Path, ...],
    return_as: EntityIdentifier | None,
    sign_as: EntityIdentifier | None,
    transcript: Path | None,
    go_on: bool,
    is_listing: bool,
    dry_run: bool,
    accept_clock: bool,
    as_json: bool,
) -> int:
    """Carry commands that the DCC signed and MACed to a device, in order, without any key.

    FILE is a DUIS response with a local command, a .HEX file, or a folder of them. Everything
    is checked before anything is sent. The device's answers are checked as far as public
    certificates allow and, with --output, written as DUIS 8.13 requests. After an interruption,
    give the same files again, or name the batch with --resume.
    """
    from keyrig.cli.watching import watching
    from keyrig.config.rig_file import load_rig
    from keyrig.delivery import field_mode

    _check_usage(files, device, expires, resume, withdraw, is_listing=is_listing, dry_run=dry_run)
    opened = load_rig(rig)
    with ExitStack() as stack:
        observe = stack.enter_context(watching(as_json=as_json))
        if is_listing:
            return _list(observe, device)
        if withdraw is not None:
            return _withdraw(observe, withdraw)
        if resume is not None:
            batch_id = _named(resume)
        else:
            assert device is not None
            handover = _handover(opened, device, files, expires, certificates)
            if dry_run:
                return _show_checked(handover, observe)
            batch_id = _take_in(handover, go_on=go_on)
        result = field_mode.carry_out(
            opened,
            batch_id,
            field_mode.DeliveryOptions(
                rule=_rule(go_on=go_on),
                certificate_files=certificates,
                return_as=return_as or sign_as,
                output=output,
                sign=_signing(opened, sign_as),
                accept_clock=accept_clock,
            ),
            observe=observe,
            transcript=_transcript(transcript, stack),
        )
    return result.exit_code


def _check_usage(
    files: tuple[Path, ...],
    device: EntityIdentifier | None,
    expires: datetime | None,
    resume: str | None,
    withdraw: str | None,
    *,
    is_listing: bool,
    dry_run: bool,
) -> None:
    """Raise click.UsageError unless exactly one thing is asked for, with all that it needs."""
    asked = [bool(files), resume is not None, withdraw is not None, is_listing]
    if sum(asked) != 1:
        raise click.UsageError("give FILE..., or one of --resume, --withdraw and --list")
    if files and device is None:
        raise click.UsageError("name the device that the commands are for with --device")
    if not files and (expires is not None or dry_run):
        raise click.UsageError("--expires and --dry-run go with FILE...")


def _handover(
    rig: Rig,
    device: EntityIdentifier,
    files: tuple[Path, ...],
    expires: datetime | None,
    certificates: tuple[Path, ...],
) -> Handover:
    from keyrig.config.settings import load_settings
    from keyrig.delivery.batch_reading import read_commands
    from keyrig.delivery.field_mode import Handover

    return Handover(
        rig=rig,
        device=device,
        commands=read_commands(files),
        valid_for_hours=load_settings().deliver.valid_for_hours,
        expires_at=expires,
        certificate_files=certificates,
    )


def _show_checked(handover: Handover, observe: Observer) -> int:
    from keyrig.base.clock import utc_now
    from keyrig.documents.delivery_document import checked_command

    for position, command in enumerate(handover.check(utc_now()), 1):
        observe(checked_command(command, position, handover.device))
    return 0


def _take_in(handover: Handover, *, go_on: bool) -> str:
    from keyrig.base.clock import utc_now
    from keyrig.delivery.field_mode import field_ledger, take_in

    with field_ledger(handover.rig) as ledger:
        rule = _rule(go_on=go_on)
        batch = take_in(ledger, handover, uuid.uuid4().hex, utc_now(), rule=rule)
        return batch.id


def _rule(*, go_on: bool) -> BatchRule:
    from keyrig.domain.states import BatchRule

    return BatchRule.GO_ON if go_on else BatchRule.STOP


def _named(name: str) -> str:
    from keyrig.config.places import ledger_path
    from keyrig.ledger.ledger import Ledger

    with Ledger(ledger_path(), create=False) as ledger:
        return ledger.local_commands.named(name).id


def _withdraw(observe: Observer, name: str) -> int:
    from keyrig.base.clock import utc_now
    from keyrig.config.places import find_data_folder, ledger_path
    from keyrig.delivery.field_mode import withdraw
    from keyrig.ledger.ledger import Ledger

    with Ledger(ledger_path(), create=False) as ledger:
        batch = ledger.local_commands.named(name)
        withdrawn = withdraw(find_data_folder(), ledger, batch, utc_now())
    observe(events.BatchWithdrawn(batch=batch.id, device=str(batch.device), commands=withdrawn))
    return 0


def _list(observe: Observer, device: EntityIdentifier | None) -> int:
    from keyrig.config.places import ledger_path
    from keyrig.documents.delivery_document import described_batch
    from keyrig.ledger.ledger import Ledger

    path = ledger_path()
    if not path.exists():
        return 0
    with Ledger(path, create=False) as ledger:
        for batch in ledger.local_commands.batches(device):
            commands = ledger.local_commands.commands(batch.id)
            observe(described_batch(batch, commands))
    return 0


def _signing(rig: Rig, party: EntityIdentifier | None) -> Callable[[bytes], bytes] | None:
    """Return the function that signs XML documents with `party`'s private key; None without."""
    if party is None:
        return None
    from duis.xml_signatures import sign
    from keyrig.config.places import places_of
    from keyrig.config.settings import load_settings
    from keyrig.keys.store_opening import open_rig_keystore
    from keyrig.keys.xml_signing_keys import xml_signing_key

    places = places_of(rig)
    store = open_rig_keystore(places.data_folder, rig.pki)
    named = load_settings().duis.serials.get(party)
    signer, certificate = xml_signing_key(store, party, named)
    return lambda document: sign(document, signer, certificate)


def _transcript(path: Path | None, stack: ExitStack) -> TranscriptFile | None:
    from keyrig.session.transcript import TranscriptFile

    return None if path is None else stack.enter_context(TranscriptFile(path))
