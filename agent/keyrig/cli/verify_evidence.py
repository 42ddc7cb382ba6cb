"""`keyrig verify-evidence`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyrig.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.report.evidence_check import Verdict

SCHEMA = 1


@click.command("verify-evidence")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--key", metavar="FINGERPRINT", help="Demand that this key sealed it, by its SHA-256 in hex."
)
@click.option(
    "--root", "roots", multiple=True, metavar="FINGERPRINT", help="Trust this root and no other."
)
@json_option
def verify_evidence(file: Path, key: str | None, roots: tuple[str, ...], *, as_json: bool) -> int:
    """Check an evidence file: its chain, its seal, every signature, and the plan.

    Needs nothing but the file. Exits 3 if anything does not hold.
    """
    from keyrig.cli.exit_codes import ExitCode  # noqa: PLC0415 - not for --help
    from keyrig.errors import DocumentInvalid, EvidenceBroken  # noqa: PLC0415 - as above
    from keyrig.report.evidence_check import check  # noqa: PLC0415 - as above
    from keyrig.report.evidence_file import read_evidence  # noqa: PLC0415 - as above

    try:
        octets = file.read_bytes()
    except OSError as error:
        raise DocumentInvalid(
            str(file), f"cannot be read: {error.strerror}", "name a file that is there"
        ) from None
    evidence = read_evidence(octets, str(file))
    if key is not None and key.lower().replace(":", "") != evidence.key:
        raise EvidenceBroken(str(file), evidence.lines, f"the seal is by key {evidence.key}")
    verdict = check(evidence, {root.lower().replace(":", "") for root in roots} or None)
    if as_json:
        click.echo(json.dumps(_document(verdict)))
    else:
        for line in _lines(verdict, is_key_demanded=key is not None, is_root_named=bool(roots)):
            click.echo(line)
    return ExitCode.DONE if verdict.holds else ExitCode.FAILED


def _document(verdict: Verdict) -> dict[str, Any]:
    file = verdict.file
    return {
        "schema": SCHEMA,
        "holds": verdict.holds,
        "run": file.header["run"],
        "rig": file.header["rig"],
        "key": file.key,
        "roots": list(verdict.roots),
        "exchanges": verdict.messages[0],
        "exchanges_that_hold": verdict.messages[1],
        "duties": [
            {
                "entity_id": str(duty.device),
                "requirement": duty.requirement,
                "clause": duty.clause,
                "state": duty.state,
                "overdue": duty.overdue,
                "proof": duty.proof.value if duty.proof else None,
                "reason": duty.reason,
            }
            for duty in verdict.duties
        ],
        "findings": [{"line": each.line, "reason": each.reason} for each in verdict.findings],
    }


def _lines(verdict: Verdict, *, is_key_demanded: bool, is_root_named: bool) -> Iterator[str]:
    from keyrig.printable import printable  # noqa: PLC0415 - not for --help

    file = verdict.file
    run, rig = printable(str(file.header["run"]), 40), printable(str(file.header["rig"]), 70)
    yield f"run {run} of rig {rig}, ended {file.ended_at:%Y-%m-%dT%H:%M:%SZ}"
    yield f"{file.lines} lines, the chain and the seal hold"
    compare = "" if is_key_demanded else "; compare it with the rig's: anybody may seal"
    yield f"sealed by key {file.key}{compare}"
    for root in verdict.roots:
        compare = "" if is_root_named else "; compare it with the one that you trust"
        yield f"certificates lead to root {root}{compare}"
    yield f"{verdict.messages[1]} of {verdict.messages[0]} exchanges have a response that holds"
    yield ""
    for duty in verdict.duties:
        how = duty.proof.value if duty.proof else "not done"
        why = f": {printable(duty.reason, 200)}" if duty.reason else ""
        late = ", overdue" if duty.overdue else ""
        yield f"{duty.device} {duty.requirement:5} {duty.state}{late}; {how}{why}"
    yield ""
    for finding in verdict.findings:
        yield f"line {finding.line}: {printable(finding.reason, 300)}"
    yield "everything holds" if verdict.holds else f"{len(verdict.findings)} things do not hold"
