"""What documents have in common: their instants, their examples, and what reads them back."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import Field

from gbcs.entity_identifier import EntityIdentifier
from keyrig.documents.certificate_document import CertificateDocument
from keyrig.documents.certification_document import TakenCertificate, WaitingRequestDocument
from keyrig.documents.delivery_document import DeliveredCommand
from keyrig.documents.document_model import Document, Eui, Instant, example_of
from keyrig.documents.fact_document import DeviceFactsDocument, FactsDocument, InventoryDocument
from keyrig.documents.outbox_document import OutboxDocument
from keyrig.documents.plan_document import DueDocument, ExplanationDocument, PlanDocument
from keyrig.documents.settings_document import SettingsDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTS = [
    CertificateDocument,
    DeliveredCommand,
    DeviceFactsDocument,
    DueDocument,
    ExplanationDocument,
    FactsDocument,
    InventoryDocument,
    OutboxDocument,
    PlanDocument,
    SettingsDocument,
    TakenCertificate,
    WaitingRequestDocument,
]
FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Told(Document):
    """Something with an instant."""

    at: Instant
    device: Eui = Field(examples=["00-DB-12-34-56-78-90-A0"])


def texts_below(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from texts_below(each)
    elif isinstance(value, str):
        yield value


@given(
    st.datetimes(
        datetime(1, 1, 3),  # noqa: DTZ001 - the zone is given by the strategy
        datetime(9999, 12, 29),  # noqa: DTZ001 - as above
        timezones=st.sampled_from(
            [UTC, timezone(timedelta(hours=14)), timezone(-timedelta(1, -1))]
        ),
    )
)
def test_instant_has_one_form_whatever_its_zone_and_precision(at: datetime) -> None:
    written = json.loads(Told(at=at, device="00-DB-12-34-56-78-90-A0").to_json())["at"]
    assert FORM.fullmatch(written)
    assert timedelta(0) <= at - datetime.fromisoformat(written) < timedelta(milliseconds=1)


@pytest.mark.parametrize("model", DOCUMENTS, ids=lambda model: model.__name__)
def test_example_is_what_the_schema_says_and_its_instants_have_one_form(
    model: type[Document],
) -> None:
    example = example_of(model)
    schema = model.model_json_schema(mode="serialization")
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(example)
    assert set(schema["required"]) == set(example)
    instants = [text for text in texts_below(example) if re.fullmatch(r"[\d-]{10}T\S+", text)]
    assert all(FORM.fullmatch(text) for text in instants)


def test_field_without_an_example_is_named() -> None:
    class Lacking(Document):
        name: str

    with pytest.raises(TypeError, match="no example of <class 'str'>"):
        example_of(Lacking)


def test_document_is_made_of_what_has_its_attributes_and_of_nothing_else() -> None:
    class Something:
        at = datetime(2026, 11, 20, 9, tzinfo=UTC)
        device = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")

    made = Told.if_any(Something())
    assert made is not None
    assert made.fields() == {
        "at": "2026-11-20T09:00:00.000Z",
        "device": "00-DB-12-34-56-78-90-A0",
    }
    assert Told.if_any(None) is None
    with pytest.raises(ValueError, match="device"):
        Told.model_validate({"at": Something.at, "device": "meter"})
