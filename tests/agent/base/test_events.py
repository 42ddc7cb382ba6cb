"""Every event: its type's name, its JSON, and that its closed sets are those of the domain."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import TYPE_CHECKING, get_args

import pytest

from agent.made_events import AT, AT_TEXT, every_event, made
from duis.duis_enumerations import SMIStatus
from gbcs.roles import DeviceType
from keyrig.base import events
from keyrig.domain.clock_trust import ClockFault
from keyrig.domain.device_facts import Cause, Outcome
from keyrig.domain.run_results import RunResult
from keyrig.domain.states import BatchRule, LocalCommandState, Verification
from keyrig.duties.rules import StepKind
from keyrig.run.preflight import NeedRule
from keyrig.transports.zigbee.radio_role import RadioState

if TYPE_CHECKING:
    import enum


def test_types_are_the_classes_names_in_kebab_case_and_each_is_one_class() -> None:
    assert events.DutyStarted.type == "duty-started"
    assert events.DCCAlert.type == "dcc-alert"
    assert events.SMIStatus.type == "smi-status"
    assert events.UpstreamSetBack.type == "upstream-set-back"
    declared = {
        each
        for each in vars(events).values()
        if isinstance(each, type) and issubclass(each, events.Event) and each is not events.Event
    }
    assert set(events.EVENT_TYPES.values()) == declared
    assert all(events.EVENT_TYPES[kind.type] is kind for kind in declared)


@pytest.mark.parametrize(
    ("names", "domain", "more"),
    [
        (events.DeviceTypeName, DeviceType, set()),
        (events.StepName, StepKind, set()),
        # What the device holds for later has an attempt of its own once it is carried out.
        (events.DutyOutcomeName, Outcome, {"scheduled"}),
        (events.ResultName, RunResult, set()),
        (events.CauseName, Cause, set()),
        (events.NeedName, NeedRule, set()),
        (events.SMIStatusName, SMIStatus, set()),
        (events.ClockFaultName, ClockFault, set()),
        (events.RadioStateName, RadioState, set()),
        (events.CommandStateName, LocalCommandState, set()),
        (events.VerificationName, Verification, set()),
        (events.BatchRuleName, BatchRule, set()),
    ],
)
def test_closed_set_of_an_event_is_that_of_the_domain(
    names: object, domain: type[enum.Enum], more: set[str]
) -> None:
    assert set(get_args(names)) == {each.value for each in domain} | more


def test_line_has_the_envelope_first_and_every_field_with_null_for_what_does_not_apply() -> None:
    event = events.Noise(reason="ä", device="00-DB")
    assert list(events.event_line(event.type, AT, event.to_json()).items()) == [
        ("schema", 1),
        ("type", "noise"),
        ("at", AT_TEXT),
        ("reason", "ä"),
        ("device", "00-DB"),
        ("link", None),
    ]
    assert list(events.event_line("x", AT, {}, 3)) == ["schema", "number", "type", "at"]


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.type)
def test_fields_are_plain_json_and_cannot_be_changed(event: events.Event) -> None:
    told = event.to_json()
    assert json.loads(json.dumps(told)) == told
    assert set(told) == {each.name for each in dataclasses.fields(event)}
    assert not {"schema", "number", "type", "at"} & set(told)
    for each in dataclasses.fields(event):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, each.name, None)


def test_instants_are_in_utc_with_milliseconds() -> None:
    told = made(events.UpstreamStanding).to_json()
    assert {told[name] for name in told if name.endswith("_at")} == {AT_TEXT}


def test_events_load_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        "import keyrig.base.events; print(*set(sys.modules) - before)"
    )
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "keyrig.base.events" in loaded
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"keyrig"}
