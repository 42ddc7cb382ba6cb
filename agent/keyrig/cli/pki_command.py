"""`keyrig pki`: make, show, copy and check keys and certificates."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keyrig.base.error_kinds import ExitCode
from keyrig.cli.shared_options import EntityType, json_option

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.documents.certificate_document import CertificateDocument
    from keyrig.keys.key_store import KeyStore
    from keyrig.keys.lab_pki import CopyReport
    from keyrig.keys.pem_keys import Passphrase
    from keyrig.run.waiting_requests import WaitingRequest

F = TypeVar("F", bound="Callable[..., Any]")

SCHEMA = 1

_COLUMNS = ("who", "role", "use", "for", "valid from", "until", "key identifier", "private key")


def _default_keystore() -> Path:
    from keyrig.config.places import default_keystore

    return default_keystore()


def _keystore_option(function: F) -> F:
    """Add the option for the key store, by default the one in the home folder."""
    return click.option(
        "--keystore",
        type=click.Path(path_type=Path),
        default=_default_keystore,
        show_default="pki in the home folder",
        help="Folder of <eui>-{ds,ka}.{pem,key}, or a DCC Boxed keystore.json.",
    )(function)


def _keystore_or_rig_options(function: F) -> F:
    """Add the options for the key store, or for the rig whose key store and tokens are used."""
    return _keystore_option(
        click.option(
            "--rig",
            type=click.Path(dir_okay=False, exists=True, path_type=Path),
            help="A rig file: its key store, with the tokens that it names.",
        )(function)
    )


def _open(keystore: Path, rig: Path | None, passphrase: Passphrase | None) -> KeyStore:
    """Open the key store that the options name.

    Raises:
        KeyStoreError: It, or a token of the rig, cannot be used.
        RigFileInvalid: The rig file cannot be used.
    """
    if rig is None:
        from keyrig.keys.store_opening import open_keystore

        return open_keystore(keystore, passphrase)
    from click.core import ParameterSource

    source = click.get_current_context().get_parameter_source("keystore")
    if source is not ParameterSource.DEFAULT:
        raise click.UsageError("name either --keystore or --rig")
    from keyrig.config.places import find_data_folder
    from keyrig.config.rig_file import load_rig
    from keyrig.keys.store_opening import open_rig_keystore

    return open_rig_keystore(find_data_folder(), load_rig(rig).pki, passphrase)


def _print_json(kind: str, **fields: Any) -> None:
    click.echo(json.dumps({"schema": SCHEMA, "kind": kind, **fields}))


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _ask_passphrase(name: str) -> bytes | None:
    """Prompt for a passphrase at the terminal; without a terminal, the key stays locked."""
    if not sys.stdin.isatty():
        return None
    answer: str = click.prompt(f"Passphrase of {name}", hide_input=True, err=True)
    return answer.encode()


@click.group()
def pki() -> None:
    """Make, show, copy and check keys and certificates."""


@pki.command()
@_keystore_option
@json_option
def init(keystore: Path, *, as_json: bool) -> None:
    """Make a whole test PKI in a new folder: authorities, DCC, suppliers, network operator."""
    import os

    from keyrig.keys.lab_pki import initialise

    store = initialise(keystore, _now(), os.urandom)
    count = len(store.stored())
    if as_json:
        _print_json("pki-made", keystore=str(keystore), certificates=count)
    else:
        click.echo(f"{keystore}: {count} certificates made, each with its private key")


@pki.command()
@_keystore_or_rig_options
@json_option
def show(keystore: Path, rig: Path | None, *, as_json: bool) -> None:
    """List certificates: whose they are, for what, until when."""
    from keyrig.documents.certificate_document import CertificateDocument

    store = _open(keystore, rig, None)
    rows = [CertificateDocument.of(stored) for stored in store.stored()]
    for problem in store.problems:
        click.echo(f"left out: {problem}", err=True)
    if as_json:
        for row in rows:
            _print_json("certificate", **row.fields())
    else:
        _print_table(rows)


def _print_table(rows: list[CertificateDocument]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True)
    for row in rows:
        cells = (
            row.entity_id or row.name or "",
            row.role or row.profile,
            row.key_usage,
            row.cell_usage,
            f"{row.not_before:%Y-%m-%d}",
            f"{row.not_after:%Y-%m-%d}",
            row.subject_key_identifier or "",
            "yes" if row.private_key else "no",
        )
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False)
    if not console.is_terminal:
        # A pipe has no width; nothing is to be cut off for it.
        console = Console(highlight=False, width=200)
    console.print(table)


@pki.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@_keystore_option
@json_option
def import_command(source: Path, keystore: Path, *, as_json: bool) -> None:
    """Copy SOURCE, a folder or a DCC Boxed keystore.json, into the key store, with its keys."""
    from keyrig.keys.lab_pki import import_

    report = import_(source, keystore, _ask_passphrase)
    _print_copy("pki-imported", keystore, report, as_json=as_json)


@pki.command("export")
@click.argument("to", metavar="PATH", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["folder", "dcc-boxed"]),
    default="folder",
    show_default=True,
    help="PATH is a folder of PEM files, or a DCC Boxed keystore.json.",
)
@click.option("--private", is_flag=True, help="Copy the private keys too.")
@_keystore_or_rig_options
@json_option
def export_command(
    to: Path, form: str, keystore: Path, rig: Path | None, *, private: bool, as_json: bool
) -> None:
    """Copy the key store's certificates to PATH, a new folder or file."""
    from keyrig.keys.lab_pki import export, export_dcc_boxed

    if form == "dcc-boxed":
        # An encrypted key cannot be written there, so nobody is asked for its passphrase.
        report = export_dcc_boxed(_open(keystore, rig, None), to, private=private)
    else:
        report = export(_open(keystore, rig, _ask_passphrase), to, private=private)
    _print_copy("pki-exported", to, report, as_json=as_json)


def _print_copy(kind: str, to: Path, report: CopyReport, *, as_json: bool) -> None:
    if as_json:
        _print_json(
            kind,
            to=str(to),
            copied=report.copied,
            already_there=report.already_there,
            refused=report.refused,
            without_place=report.without_place,
        )
    else:
        for reason in (*report.refused, *report.without_place):
            click.echo(f"left out: {reason}", err=True)
        click.echo(
            f"{to}: {len(report.copied)} copied, {len(report.already_there)} there already, "
            f"{len(report.refused) + len(report.without_place)} left out"
        )
    if report.refused:
        raise click.exceptions.Exit(ExitCode.FAILED)


@pki.command("check")
@click.option("--ignore-time", is_flag=True, help="Accept certificates outside their validity.")
@_keystore_or_rig_options
@json_option
def check_command(keystore: Path, rig: Path | None, *, ignore_time: bool, as_json: bool) -> None:
    """Check every certificate's profile and path, and that each key is its certificate's."""
    from keyrig.keys.lab_pki import check

    store = _open(keystore, rig, _ask_passphrase)
    report = check(store, None if ignore_time else _now())
    for finding in report.findings:
        if as_json:
            _print_json("finding", source=finding.source, rule=finding.rule, reason=finding.reason)
        else:
            click.echo(f"{finding.source}: {finding.reason} ({finding.rule})")
    counts = {
        "certificates": report.certificates,
        "keys": report.keys,
        "findings": len(report.findings),
    }
    if as_json:
        _print_json("pki-checked", keystore=store.location, **counts)
    else:
        counted = ", ".join(f"{number} {what}" for what, number in counts.items())
        click.echo(f"{store.location}: {counted}")
    if report.findings:
        raise click.exceptions.Exit(ExitCode.FAILED)


@pki.command("fetch")
@click.argument("entity", type=EntityType(), metavar="EUI")
@_keystore_option
@json_option
def fetch_command(entity: EntityIdentifier, keystore: Path, *, as_json: bool) -> None:
    """Look the certificates in use of EUI up in DCC Boxed, and add them to the key store.

    Each must lead to a root that the key store has.
    """
    from keyrig.base.clock import instant_text
    from keyrig.config.places import find_data_folder
    from keyrig.transports.dcc.smki_fetching import fetch_certificates

    fetched = fetch_certificates(keystore, find_data_folder(), entity, at=_now())
    for each in fetched:
        certificate = each.certificate
        row = {
            "entity_id": str(entity),
            "key_usage": certificate.key_usage.gbcs_name,
            "serial": f"{certificate.serial:x}",
            "not_before": instant_text(certificate.not_before),
            "not_after": instant_text(certificate.not_after),
            "added": each.is_new,
            "refused": each.refused or None,
        }
        if as_json:
            _print_json("certificate-fetched", **row)
        else:
            news = each.refused or ("added" if each.is_new else "there already")
            click.echo(f"{entity} {row['key_usage']} {row['serial']}: {news}")
    if any(each.refused for each in fetched):
        raise click.exceptions.Exit(ExitCode.FAILED)


@pki.command("bundle")
@_keystore_option
@json_option
def bundle_command(keystore: Path, *, as_json: bool) -> None:
    """Fetch DCC Boxed's bundle of organisations' keys, and copy it into the key store."""
    from keyrig.config.places import find_data_folder
    from keyrig.transports.dcc.smki_fetching import fetch_bundle

    report = fetch_bundle(keystore, find_data_folder(), _ask_passphrase)
    _print_copy("pki-bundle-imported", keystore, report, as_json=as_json)


@pki.command("requests")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Also write each request there, as PEM and DER, with a list.",
)
@json_option
def requests_command(folder: Path | None, *, as_json: bool) -> None:
    """List the devices' certification requests that wait for an authority, and since when."""
    from keyrig.base.clock import second_text
    from keyrig.config.places import ledger_path
    from keyrig.documents.certification_document import WaitingRequestDocument
    from keyrig.keys.authority_by_hand import write_request
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.waiting_requests import waiting_requests

    waiting: tuple[WaitingRequest, ...] = ()
    if ledger_path().exists():
        with Ledger(ledger_path(), create=False) as ledger:
            waiting = waiting_requests(ledger, _now())
    for request in waiting:
        if folder is not None:
            write_request(folder, request.order)
        if as_json:
            document = WaitingRequestDocument.of(request, folder)
            _print_json("certification-request", **document.fields())
        else:
            click.echo(f"{request.order.line}")
            click.echo(f"  since {second_text(request.since)}: {request.answer}")
    if not as_json:
        click.echo(f"{len(waiting)} requests wait" if waiting else "no request waits")


@pki.command("certified")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@_keystore_or_rig_options
@json_option
def certified_command(
    files: tuple[Path, ...], keystore: Path, rig: Path | None, *, as_json: bool
) -> None:
    """Take in certificates that an authority gave for requests that wait.

    FILE may be PEM, DER, PKCS#7 or a zip, with any number of certificates. Each is checked
    against its request, its profile and its path to the root; a wrong one changes nothing.
    """
    from keyrig.config.places import ledger_path
    from keyrig.documents.certification_document import TakenCertificate
    from keyrig.keys.given_certificates import read_given
    from keyrig.keys.issued_certificates import IssuedCertificates
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.certificates_taken_in import take_in

    given = [certificate for file in files for certificate in read_given(file)]
    issued = IssuedCertificates(_open(keystore, rig, None))
    taken = refused = 0
    with Ledger(ledger_path(), create=False) as ledger:
        for each in take_in(ledger, given, issued, _now()):
            taken += each.is_taken
            refused += each.is_refused
            if as_json:
                document = TakenCertificate.model_validate(each)
                _print_json("certificate-taken-in", **document.fields())
            else:
                click.echo(f"{each.source}: {each.outcome}")
        left = len(ledger.key_changes.all_waiting())
    if not as_json:
        click.echo(f"{taken} certificates taken, {refused} refused; {left} requests wait")
    if refused:
        raise click.exceptions.Exit(ExitCode.FAILED)


@pki.command("void")
@click.argument("key_identifier", metavar="KEY_IDENTIFIER")
@click.option("--reason", required=True, help="Why; it is kept.")
@json_option
def void_command(key_identifier: str, reason: str, *, as_json: bool) -> None:
    """Give up a request that waits, by the key identifier that `keyrig pki requests` shows.

    The next run has the device make another key and asks for its certificate.
    """
    from gbcs.printable import printable
    from keyrig.base.errors import SettingsError
    from keyrig.config.places import ledger_path
    from keyrig.documents.certification_document import WaitingRequestDocument
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.certification_requests import void
    from keyrig.run.waiting_requests import waiting_requests

    if not reason.strip():
        raise SettingsError("--reason", "nothing is said", "say why the request is given up")
    wanted = "".join(key_identifier.replace(":", " ").replace("-", " ").split()).lower()
    with Ledger(ledger_path(), create=False) as ledger:
        now = _now()
        found = [
            request
            for request in waiting_requests(ledger, now)
            if request.order.key_identifier.hex() == wanted
        ]
        if not found:
            raise SettingsError(
                f"key identifier {printable(key_identifier, 40)}",
                "no request of that key waits",
                "`keyrig pki requests` lists those that do",
            )
        void(ledger, found[0], printable(reason, 400), now)
    if as_json:
        document = WaitingRequestDocument.of(found[0])
        _print_json("certification-request-void", **document.fields())
    else:
        click.echo(f"{found[0].order}: void; the next run asks anew")
