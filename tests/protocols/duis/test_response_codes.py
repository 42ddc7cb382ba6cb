from __future__ import annotations

import re

import pytest

from authorities import needs
from duis.alert_messages import DCC_ALERT_CODES
from duis.response_codes import CODES, MEANINGS, Outcome, meaning_of, outcome_of
from duis.service_references import COMMAND_VARIANTS, CommandVariant, service_reference_of
from duis_schemas import DUIS


def schema_of(name: str) -> str:
    text = (DUIS / "DUIS Schema V5.4.xsd").read_text(encoding="utf-8")
    found = re.search(rf'name="{name}">(.*?)</xs:simpleType>', text, re.DOTALL)
    assert found
    return found[1]


def listed(name: str) -> set[str]:
    return set(re.findall(r'enumeration value="([^"]+)"', schema_of(name)))


@needs(DUIS)
@pytest.mark.reference
def test_codes_and_references_are_those_of_the_schema() -> None:
    assert listed("ResponseCode") == CODES
    assert listed("ServiceReferenceVariant") == set(COMMAND_VARIANTS)
    assert {service_reference_of(each) for each in COMMAND_VARIANTS} == listed("ServiceReference")
    assert listed("DCCAlertCode") == set(DCC_ALERT_CODES)


@needs(DUIS)
@pytest.mark.reference
def test_command_variants_are_those_that_the_schema_notes() -> None:
    noted = re.findall(
        r'enumeration value="([^"]+)"/>\s*<!--\s*CV = ([0-9, ]+)',
        schema_of("ServiceReferenceVariant"),
    )
    assert len(noted) == len(COMMAND_VARIANTS)
    for variant, numbers in noted:
        expected = {CommandVariant(int(number)) for number in numbers.split(",")}
        assert COMMAND_VARIANTS[variant] == expected


@pytest.mark.parametrize(
    ("code", "outcome", "meaning"),
    [
        ("I0", Outcome.SUCCESS, "success"),
        ("I99", Outcome.ACKNOWLEDGED, "acknowledged; the outcome follows"),
        ("E5", Outcome.ERROR, "the device's SMI Status does not go with this request"),
        ("E40", Outcome.ERROR, "error whose meaning is not known here"),
        ("E061501", Outcome.ERROR, "error particular to service reference 6.15"),
        ("W081401", Outcome.WARNING, "warning particular to service reference 8.14"),
    ],
)
def test_code_tells_its_outcome_and_its_meaning_as_far_as_known(
    code: str, outcome: Outcome, meaning: str
) -> None:
    assert code in CODES
    assert outcome_of(code) is outcome
    assert meaning_of(code) == meaning


def test_every_code_has_an_outcome_and_words() -> None:
    assert set(MEANINGS) < CODES
    for code in CODES:
        assert meaning_of(code)
        assert (outcome_of(code) is Outcome.ERROR) == code.startswith("E")
