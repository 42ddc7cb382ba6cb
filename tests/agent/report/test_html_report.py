from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise

import pytest

from agent.report.documents import DEVICE, attempt, device, duty, not_begun, report
from agent.report.html_reading import read_page
from keyrig.domain.device_facts import Outcome
from keyrig.domain.run_results import RunResult
from keyrig.duties.plan import DutyState
from keyrig.report.html_report import html_report
from keyrig.report.timeline import happenings_of

HOSTILE = [
    "</title><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "]]></style><style>*{display:none}",
    "&lt;b&gt; &amp; <!-- -->",
    "a\x00b\x1b[31mc\x08\x7f\u202egnp.exe\u2066\ud7ff\ufffe\nd",
    "<svg><desc></svg>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_wherever_it_stands(text: str) -> None:
    page = read_page(html_report(report([device(text)], text)))
    harmless = read_page(html_report(report([device()])))
    assert page.tags == harmless.tags
    assert page.ids == harmless.ids
    assert page.words.count("alert(1)") >= (10 if "alert(1)" in text else 0)


def test_characters_that_a_terminal_or_browser_acts_on_are_replaced() -> None:
    written = html_report(report([device(HOSTILE[5])], HOSTILE[5]))
    assert not [c for c in written if not c.isprintable() and c != "\n"]


def test_page_has_a_language_a_title_and_headings_in_order() -> None:
    written = html_report(report([device()]))
    page = read_page(written)
    assert '<html lang="en-GB">' in written
    headings = [int(tag[1]) for tag in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(headings))
    assert page.tags.count("title") == 1 + page.tags.count("desc")


def test_summary_says_what_came_of_it_and_who_must_be_told() -> None:
    words = read_page(html_report(report([device("the reason")]))).words
    assert "2 duties due on 1 device: 1 done, 1 failed, 0 left; 0 overdue" in words
    told = words[words.index("Who must be told") : words.index("For a person")]
    assert "H5.35" in told
    assert "Suspended by the reason" in told
    matters = words[words.index("For a person") : words.index("Time line")]
    assert "security incident" in matters
    assert "R33a H5.33(a)" in matters


def test_changed_cells_are_told_in_words_and_by_their_form() -> None:
    written = html_report(report([device()]))
    words = read_page(written).words
    for said in ("◆ changed", "◈ replaced by the same", "◇ unchanged", "◇ first read in this run"):
        assert said in words
    picture = written[written.index("Trust anchor cells") : written.index("<h3>Messages")]
    changed = picture[picture.index("cell-changed") : picture.index("cell-replaced-by-same")]
    assert changed.count('class="half"') == 2
    assert picture[picture.index("cell-unchanged") :].count('class="half"') == 2


def test_time_line_has_commissioning_runs_alerts_statuses_and_deadlines_in_order() -> None:
    found = happenings_of(report([device()]), device())
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert [each.kind for each in found] == [
        "commissioned", "status", "run", "status", "notice", "alert", "report", "deadline",
    ]  # fmt: skip
    assert "failed: R33a; done: R33b" in found[2].text
    assert found[-1].text == "Deadline of R33a, R33b, R33c, R33d"


def test_attempts_of_earlier_runs_stand_apart_from_those_of_this_one() -> None:
    tried = [
        attempt(1, Outcome.INTERRUPTED, in_this_run=False),
        attempt(2, None),
    ]
    hub = device(duties=[duty("R33a", DutyState.DUE, attempts=tried, overdue=True)])
    runs = [e.text for e in happenings_of(report([hub]), hub) if e.kind == "run"]
    assert runs == ["Run ffffffff; interrupted: R33a", "This run; under way: R33a"]
    words = read_page(html_report(report([hub], outcome=None))).words
    assert "The run is under way." in words
    assert "due, overdue" in words
    assert "R33a under way" in words


@pytest.mark.parametrize("outcome", [None, *RunResult])
def test_every_way_a_run_may_end_is_said(outcome: RunResult | None) -> None:
    page = read_page(html_report(report([], outcome=outcome)))
    assert "No device was reached." in page.words


def test_what_waits_and_what_was_not_begun_is_for_a_person_with_what_to_do() -> None:
    duties = [
        duty("R33a", DutyState.WAITING, attempts=[attempt(1, Outcome.WAITING)]),
        duty("R33b", DutyState.DUE, not_begun=not_begun("no such key")),
        duty("R33c", DutyState.DUE, not_begun=not_begun("no such key")),
    ]
    written = html_report(report([device("by hand", duties)], outcome=RunResult.NEEDS_PERSON))
    words = read_page(written).words
    matters = words[words.index("For a person") : words.index("Time line")]
    matters = matters.replace("- ", "-").replace(" ,", ",").replace(" :", ":")
    assert f"not begun CHF {DEVICE}: R33b R33c: no such key; no such key" in matters
    assert f"waits for the authority CHF {DEVICE}: digitalSignature request" in matters
    assert "4C3E0C75A6D13682, since 2026-11-22 09:00:04: by hand" in matters
    assert "not done" not in matters
    assert "◔ waiting" in words
    assert "not begun (keys): no such key" in words
    assert "what to do: no such key" in words
    assert "Those that waited for an authority as the run ended" in words
    assert "failed" not in matters


def test_device_without_a_sign_of_life_still_has_its_section() -> None:
    silent = device().model_copy(
        update={
            "commissioned_at": None, "smi_status": None, "smi_status_now": None,
            "suspension": None, "facts": (),
            "duties": (), "cells": (), "key_changes": (),
            "certification_requests": (), "messages": (), "alerts": (),
            "smi_status_history": (), "notices": (), "flags": (), "incidents": (),
        }
    )  # fmt: skip
    page = read_page(html_report(report([silent])))
    assert f"device-{DEVICE.lower()}" in page.ids
    assert "Nothing passed between the rig and this device in the run." in page.words


def test_text_stands_out_from_its_ground_in_light_dark_and_print() -> None:
    style = resources.files("keyrig.report").joinpath("page.css").read_text(encoding="utf-8")
    themes = [block.split("}")[0] for block in style.split(":root {")[1:]]
    assert len(themes) == 3
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", theme))
        for ground in ("ground", "raised"):
            for ink in ("ink", "quiet", "accent", "good", "bad", "warn"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, f"{ink} on {ground}"
        for mark in ("ink", "quiet", "accent", "bad"):
            assert contrast(colours["number"], colours[mark]) >= 4.5, f"number on {mark}"


def contrast(one: str, other: str) -> float:
    """Give the contrast ratio of two colours, by WCAG 2.2."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
