from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from gbcs.roles import DeviceType
from keyrig.base.errors import RulesInvalid, SettingsError
from keyrig.duties.rules import (
    BUILT_IN,
    Actor,
    Exemption,
    Failing,
    Manner,
    Notify,
    Restoring,
    StepKind,
    built_in_rules,
    load_rules,
    parse_rules,
    rules_with,
)

if TYPE_CHECKING:
    from pathlib import Path

METERS_AND_PROXY = {DeviceType.ESME, DeviceType.GSME, DeviceType.GPF}
CONFIRM = Exemption.RECOVERY_CONFIRMED
REPLACE = Exemption.ORGANISATION_CERTIFICATE_REPLACED

# The clauses as the consultation draft numbers them, read from its text apart from the TOML.
DRAFT = [
    ("R33a", "H5.33(a)", Actor.DCC, StepKind.REGENERATE_KEYS, 7, None, "H5.34"),
    ("R33b", "H5.33(b)", Actor.DCC, StepKind.REPLACE_ORGANISATION_CERTIFICATE, 7, REPLACE, "H5.34"),
    ("R33c", "H5.33(c)", Actor.DCC, StepKind.CONFIRM_RECOVERY_CERTIFICATE, 7, CONFIRM, "H5.34"),
    ("R37b", "H5.37(b)", Actor.LEAD_SUPPLIER, StepKind.ENSURE_SUPPLIER_CREDENTIALS, 7, None, None),
    ("R37a", "H5.37(a)", Actor.LEAD_SUPPLIER, StepKind.ENSURE_NETWORK_CREDENTIALS, 7, None, None),
    ("R37c", "H5.37(c)", Actor.LEAD_SUPPLIER, StepKind.REGENERATE_KEYS, 7, None, "H5.38"),
    (
        "R37d",
        "H5.37(d)",
        Actor.LEAD_SUPPLIER,
        StepKind.REPLACE_ORGANISATION_CERTIFICATE,
        7,
        REPLACE,
        "H5.38",
    ),
    (
        "R37e",
        "H5.37(e)",
        Actor.LEAD_SUPPLIER,
        StepKind.CONFIRM_RECOVERY_CERTIFICATE,
        7,
        CONFIRM,
        "H5.38",
    ),
    ("R40", "H5.40", Actor.LEAD_SUPPLIER, StepKind.ENSURE_SUPPLIER_CREDENTIALS, 14, None, None),
]


def built_in_text() -> str:
    return resources.files("keyrig.duties").joinpath(BUILT_IN).read_text(encoding="utf-8")


def test_built_in_set_states_the_draft_in_the_order_of_the_steps() -> None:
    rules = built_in_rules()
    assert rules.edition == "SEC H5.33-H5.40, consultation draft"
    assert [
        (r.id, r.clause, r.actor, r.step, rules.days(r), r.exemption, r.on_failure)
        for r in rules.requirement
    ] == DRAFT


def test_every_type_1_device_owes_what_its_clause_names() -> None:
    rules = built_in_rules()
    for requirement in rules.requirement:
        expected = {
            "R33": {DeviceType.CHF},
            "R37": METERS_AND_PROXY,
            "R40": {DeviceType.HCALCS, DeviceType.PPMID},
        }[requirement.id[:3]]
        assert requirement.device_types == expected
    assert [r.id for r in rules.owed_by(DeviceType.ESME)] == [
        "R37b",
        "R37a",
        "R37c",
        "R37d",
        "R37e",
    ]


def test_dcc_ensures_and_lead_supplier_sends_a_service_request() -> None:
    for requirement in built_in_rules().requirement:
        ensures = requirement.manner is Manner.ENSURE
        assert ensures == (requirement.actor is Actor.DCC)


def test_dcc_must_restore_and_tells_suppliers_while_for_lead_supplier_a_bar_is_lifted() -> None:
    of_dcc, of_supplier = built_in_rules().consequence
    assert (of_dcc.suspend, of_dcc.retry, of_dcc.restore) == ("H5.34(a)", "H5.34(b)", "H5.34(c)")
    assert (of_dcc.restoring, of_dcc.notify) == (Restoring.MUST, Notify.RESPONSIBLE_SUPPLIERS)
    assert of_dcc.notify_clause == "H5.35"
    assert of_supplier.suspend == "H5.38(a)"
    assert (of_supplier.restoring, of_supplier.notify) == (Restoring.BAR_LIFTED, None)


def test_readings_carry_their_ambiguity_and_reason() -> None:
    readings = built_in_rules().readings
    assert readings.gas_proxy_organisation_certificate.ambiguity == "A1"
    assert readings.day_counting.ambiguity == readings.date_only.ambiguity == "A5"
    assert readings.other_type_1_commissioning.ambiguity == "A2"
    assert readings.other_type_1_deadline.ambiguity == "A3"
    assert readings.failing.ambiguity == "A4"
    assert all(len(getattr(readings, name).reason) > 40 for name in type(readings).model_fields)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("deadline_days = 7", "dedline_days = 7", "did you mean 'deadline_days'?"),
        ("deadline_days = 7", "deadline_days = 0", "'requirement[1].deadline_days' is 0"),
        ('step = "regenerate-keys"', 'step = "regenerate"', "requirement[1].step"),
        ('on_failure = "H5.38"', 'on_failure = "H5.99"', "on_failure names H5.99"),
        ('id = "R37a"', 'id = "R37b"', "requirement id R37b stands twice"),
        ('notify_clause = "H5.35"', "", "notify and notify_clause go together"),
        ('GSME = "GPF"', 'CHF = "GPF"', "met_on names CHF"),
        ('choice = "24-hours"', 'choice = "weeks"', "readings.day_counting.choice"),
        ('id = "R40"', 'id = "R40/x"', "requirement[9].id"),
        ("choice = 14", "choice = 0", "readings.other_type_1_deadline.choice"),
        ('choice = "failed-attempt"', 'choice = "late"', "readings.failing.choice"),
        ('"other_type_1_deadline"\n', '"other_deadline"\n', "requirement[9].deadline_days"),
        ("[[requirement]]", "[[requirement", "not TOML"),
    ],
)
def test_rule_set_with_a_fault_is_refused_by_name(old: str, new: str, told: str) -> None:
    text = built_in_text()
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(RulesInvalid) as caught:
        parse_rules(text.replace(old, new, 1), "mine.toml")
    assert told in str(caught.value)
    found = re.match(r"mine\.toml, line (\d+): ", str(caught.value))
    assert found is not None
    # A missing key is shown by the head of its table, some lines above.
    assert 0 <= line - int(found.group(1)) <= 8


def test_rule_set_is_loaded_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(built_in_text().replace('"other_type_1_deadline"', "21"))
    rules = load_rules(path)
    assert rules.days(rules.requirement_by_id("R40")) == 21


def test_missing_rule_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesInvalid, match=r"none\.toml: cannot be read"):
        load_rules(tmp_path / "none.toml")


def test_rules_cannot_be_changed_by_who_reads_them() -> None:
    with pytest.raises(ValueError, match="frozen"):
        built_in_rules().requirement[0].deadline_days = 9


def test_other_readings_are_chosen_by_name_and_the_edition_says_so() -> None:
    rules = rules_with(
        built_in_rules(), {"failing": "either", "other_type_1_deadline": 7}, "rig bench"
    )
    assert rules.readings.failing.choice is Failing.EITHER
    assert rules.days(rules.requirement_by_id("R40")) == 7
    assert rules.edition == (
        "SEC H5.33-H5.40, consultation draft, read otherwise: "
        "failing=either, other_type_1_deadline=7"
    )
    assert rules.readings.failing.reason == "chosen in rig bench"
    assert rules_with(built_in_rules(), {"failing": "failed-attempt"}, "x") is built_in_rules()


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"failure": "either"}, "rig bench: there is no reading failure; the readings are gas_"),
        ({"failing": "late"}, "rig bench: reading failing: cannot be 'late'; Input should be"),
        ({"model_fields": "x"}, "there is no reading model_fields"),
    ],
)
def test_reading_or_choice_that_is_not_there_is_refused(choices: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        rules_with(built_in_rules(), choices, "rig bench")
    assert told in str(caught.value)


def test_days_that_never_run_give_no_deadline() -> None:
    rules = rules_with(built_in_rules(), {"other_type_1_commissioning": "never"}, "x")
    assert rules.days(rules.requirement_by_id("R40")) is None
    assert rules.days(rules.requirement_by_id("R37c")) == 7
