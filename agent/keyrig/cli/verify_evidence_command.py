"""`keyrig verify-evidence`."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from keyrig.base.clock import second_text
from keyrig.cli.shared_options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.evidence.evidence_check import DutyVerdict, Verdict

SCHEMA: Final = 1
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


class _Fingerprint(click.ParamType["str"]):
    """The SHA-256 of a key or certificate, in hexadecimal, with or without colons."""

    name = "FINGERPRINT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = _plain(value)
        if not _FINGERPRINT.fullmatch(text):
            self.fail(f"{value!r:.80} is not 64 hexadecimal digits", param, ctx)
        return text


class _Root(click.ParamType["str"]):
    """The fingerprint of a root, or a file with its certificate."""

    name = "FINGERPRINT|FILE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if _FINGERPRINT.fullmatch(_plain(value)):
            return _plain(value)
        from gbcs.certificate_profiles import GBCSCertificate
        from gbcs.protocol_errors import DecodeError
        from keyrig.base.outside_files import Unreadable, pem_of, read_octets

        try:
            octets = pem_of(read_octets(Path(value)))
        except Unreadable:
            self.fail(f"{value!r:.80} is neither a fingerprint nor a file to read", param, ctx)
        try:
            if b"-----BEGIN" in octets:
                certificate = GBCSCertificate.all_from_pem(octets)[0]
            else:
                certificate = GBCSCertificate.from_der(octets)
        except DecodeError as error:
            self.fail(f"{value!r:.80} holds no certificate in PEM or DER: {error}", param, ctx)
        return hashlib.sha256(certificate.der).hexdigest()


def _plain(text: str) -> str:
    return text.lower().replace(":", "")


@click.command("verify-evidence")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--key", type=_Fingerprint(), help="Demand that this key sealed it, by its SHA-256 in hex."
)
@click.option(
    "--root",
    "roots",
    type=_Root(),
    multiple=True,
    help="Trust this root and no other, by SHA-256 or certificate file; may be repeated.",
)
@json_option
def verify_evidence(file: Path, key: str | None, roots: tuple[str, ...], *, as_json: bool) -> int:
    """Check an evidence file: its chain, its seal, every signature, and the plan.

    Needs nothing but the file. Exits 3 if anything does not hold, 2 if it is no evidence file.
    """
    from keyrig.base.error_kinds import ExitCode
    from keyrig.base.errors import EvidenceBroken, FileInvalid
    from keyrig.base.outside_files import Unreadable, read_octets
    from keyrig.evidence.evidence_check import check
    from keyrig.evidence.evidence_file import read_evidence
    from keyrig.evidence.evidence_lines import (
        FILE_MAXIMUM_OCTETS,
        as_written,
        is_evidence,
    )

    try:
        octets = as_written(read_octets(file, maximum=FILE_MAXIMUM_OCTETS))
    except Unreadable as error:
        raise FileInvalid(str(file), str(error), error.mend) from None
    if not is_evidence(octets):
        raise FileInvalid(
            str(file), "no evidence file", "name one that `keyrig report --format evidence` wrote"
        )
    evidence = read_evidence(octets, str(file))
    if key is not None and key != evidence.key:
        raise EvidenceBroken(
            str(file),
            evidence.lines,
            f"the seal is by key {evidence.key}, and not by that demanded",
        )
    verdict = check(evidence, set(roots) or None)
    if as_json:
        click.echo(json.dumps(_document(verdict)))
    else:
        for line in _lines(verdict, is_key_demanded=key is not None, is_root_named=bool(roots)):
            click.echo(line)
    return ExitCode.DONE if verdict.holds else ExitCode.FAILED


def _document(verdict: Verdict) -> dict[str, Any]:
    file = verdict.file
    assert file.rules is not None
    return {
        "schema": SCHEMA,
        "holds": verdict.holds,
        "run": file.header.run,
        "rig": file.header.rig,
        "key": file.key,
        "roots": list(verdict.roots),
        "recovery_certificate": file.header.parties.recovery_certificate,
        "rules": {
            "edition": file.rules.edition,
            "digest": file.rules.digest,
            "built_in": verdict.rules_built_in,
        },
        "exchanges": len(file.exchanges),
        "exchanges_that_hold": verdict.exchanges_that_hold,
        "responses": verdict.responses,
        "responses_under_a_mac": verdict.responses_maced,
        "duties": [
            {
                "line": duty.line,
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
    from gbcs.printable import printable
    from keyrig.evidence.evidence_check import Proof

    file = verdict.file
    assert file.rules is not None
    run, rig = printable(file.header.run, 40), printable(file.header.rig, 70)
    yield f"run {run} of rig {rig}, ended {second_text(file.header.finished_at)} by its clock"
    yield f"{file.lines} lines, the chain and the seal hold"
    compare = "" if is_key_demanded else "; compare it with the rig's: anybody may seal"
    yield f"sealed by key {file.key}{compare}"
    for root in verdict.roots:
        compare = "" if is_root_named else "; compare it with the one that you trust"
        yield f"certificates lead to root {root}{compare}"
    yield f"Recovery Certificate {file.header.parties.recovery_certificate}; compare it as well"
    rules = "built in" if verdict.rules_built_in else "not those built in: read them"
    yield f"rules {printable(file.rules.edition, 80)}, {rules}"
    yield (
        f"{verdict.exchanges_that_hold} of {len(file.exchanges)} exchanges hold; "
        f"{verdict.responses} have a response, {verdict.responses_maced} of them under a MAC alone"
    )
    yield ""
    for duty in verdict.duties:
        yield _duty_line(duty)
    yield ""
    for finding in verdict.findings:
        yield f"line {finding.line}: {printable(finding.reason, 300)}"
    yield (
        f"{verdict.count(Proof.SIGNED)} proved by signatures, {verdict.count(Proof.MACED)} resting "
        f"on a MAC, {verdict.count(Proof.ELSEWHERE)} done in another run, "
        f"{verdict.count(Proof.NONE)} called done but not proved"
    )
    if verdict.holds:
        yield "everything holds"
    else:
        number = len(verdict.findings)
        yield f"{number} {'thing does' if number == 1 else 'things do'} not hold"


def _duty_line(duty: DutyVerdict) -> str:
    from gbcs.printable import printable
    from keyrig.evidence.evidence_check import Proof

    how = {
        Proof.SIGNED: "proved by signatures",
        Proof.MACED: "rests on a MAC",
        Proof.ELSEWHERE: "done in another run",
        Proof.NONE: "NOT PROVED",
        None: "nothing to prove",
    }[duty.proof]
    late = ", overdue" if duty.overdue else ""
    why = f": {printable(duty.reason, 300)}" if duty.reason else ""
    state, requirement = printable(duty.state, 40), printable(duty.requirement, 40)
    return f"{duty.device} {requirement:5} {state}{late}; {how}{why}"
