from __future__ import annotations

import pytest

from duis.document_headers import RequestIdentifier

from .examples import METER, SUPPLIER

TEXT = "90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1000"


def test_identifier_is_originator_target_and_counter() -> None:
    identifier = RequestIdentifier.parse(TEXT)
    assert identifier == RequestIdentifier(SUPPLIER, METER, 1000)
    assert str(identifier) == TEXT
    assert RequestIdentifier.parse(f" {TEXT.lower()} ") == identifier


def test_identifier_of_the_answer_has_the_parties_changed() -> None:
    answered = RequestIdentifier.parse(TEXT).answered()
    assert str(answered) == "00-DB-12-34-56-78-90-A0:90-B3-D5-1F-30-01-00-00:1000"
    assert str(answered.answered()) == TEXT


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:-5],
        TEXT + "x",
        TEXT.replace(":1000", ":-1"),
        TEXT.replace(":1000", ":01"),
        TEXT.replace(":1000", ":18446744073709551616"),
        TEXT.replace(":1000", ":" + "9" * 30),
        TEXT.replace("90-B3", "90:B3"),
        TEXT.replace("90-B3", "90B3"),
        TEXT.replace(":1000", ":\u0661"),
    ],
)
def test_other_text_is_no_identifier(text: str) -> None:
    with pytest.raises(ValueError, match=r"request identifier|originator counter"):
        RequestIdentifier.parse(text)
