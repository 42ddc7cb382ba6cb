from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from agent.report.documents import device, report
from keyrig.documents.report_document import Report, schema_text
from keyrig.domain.run_results import RunResult

PUBLISHED = Path(__file__).parents[3] / "docs" / "report.schema.json"


def test_published_schema_is_that_of_the_code() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), (
        "write keyrig.documents.report_document.schema_text() to docs/report.schema.json; "
        "raise REPORT_SCHEMA where a key changed its meaning or went"
    )
    Draft202012Validator.check_schema(json.loads(schema_text()))


@pytest.mark.parametrize("outcome", [None, *RunResult])
def test_documents_are_valid_by_the_published_schema(outcome: RunResult | None) -> None:
    written = json.loads(report([device("a\x00b</script>")], "x\u202ey", outcome).to_json())
    Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8"))).validate(written)
    assert written["schema"] == 1


def test_schema_refuses_a_document_that_lacks_a_key_or_has_another_state() -> None:
    validator = Draft202012Validator(json.loads(schema_text()))
    lacking = json.loads(report([device()]).to_json())
    del lacking["devices"][0]["duties"][0]["standing"]["overdue"]
    with pytest.raises(ValidationError, match="overdue"):
        validator.validate(lacking)
    wrong = json.loads(report([device()]).to_json())
    wrong["devices"][0]["duties"][0]["standing"]["state"] = "finished"
    with pytest.raises(ValidationError, match="finished"):
        validator.validate(wrong)


def test_json_report_reads_back_as_the_same_document() -> None:
    made = report([device()])
    assert Report.model_validate_json(made.to_json()) == made


def test_text_from_outside_is_in_one_line_without_control_characters() -> None:
    written = report([device("a\x1b[2Jb\nc\u202ed")]).to_json()
    assert written.isascii()
    assert json.loads(written)["devices"][0]["notices"][0]["reason"] == "a\ufffd[2Jb\ufffdc\ufffdd"


def test_instants_are_utc_to_the_millisecond() -> None:
    written = json.loads(report([]).to_json())
    assert written["run"]["started_at"] == "2026-11-22T09:00:00.000Z"
    assert datetime.fromisoformat(written["made_at"]).tzinfo == UTC
