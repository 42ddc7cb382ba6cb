"""The formats that a report of a run is written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyrig.evidence.evidence_key import evidence_key, fingerprint
from keyrig.evidence.evidence_writer import evidence
from keyrig.report.html_report import html_report
from keyrig.report.junit_report import junit_report
from keyrig.report.report_building import compose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from keyrig.documents.report_document import Report
    from keyrig.ledger.run_record import RunRecord

_WRITERS: Final[Mapping[str, Callable[[Report], str]]] = {
    "html": html_report,
    "json": lambda report: report.to_json(indent=2) + "\n",
    "junit": junit_report,
}


def report_octets(form: str, record: RunRecord, now: datetime) -> bytes:
    """Return the octets of a run's report as html, json or junit."""
    return _WRITERS[form](compose(record, now)).encode()


def sealed_evidence(record: RunRecord, data_folder: Path, now: datetime) -> tuple[bytes, str]:
    """Return the evidence of a run, and the fingerprint of the key that seals it.

    Raises:
        KeyStoreError: The rig's evidence key cannot be read or made.
    """
    key = evidence_key(data_folder / "rigs", record.run.rig_name)
    return evidence(record, key, now), fingerprint(key.public_der)
