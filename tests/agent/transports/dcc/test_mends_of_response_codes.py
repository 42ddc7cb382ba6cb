from __future__ import annotations

import pytest

from keyrig.base.error_kinds import ExitCode, kind_of
from keyrig.transports.dcc.pending_requests import is_no_response, refused


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        ("E1", "Users of that role"),
        ("E2", "Users of that role"),
        ("E3", "Users of that role"),
        ("E4", "responsible for the device today"),
        ("E5", "have its SMI Status restored"),
        ("E11", "type and Entity Identifier"),
        ("E12", "keyrig's authors"),
        ("E13", "dcc_boxed.duis_port"),
        ("E19", "type and Entity Identifier"),
        ("E061501", "DUIS tables"),
        ("E99999", "DUIS tables"),
    ],
)
def test_refusal_says_what_it_means_and_what_to_do_and_needs_a_person(code: str, mend: str) -> None:
    error = refused("CS02c", code)
    assert str(error).startswith(f"CS02c: the DCC answers {code}, ")
    assert mend in str(error)
    assert "\n" not in str(error)
    assert kind_of(error).exit_code is ExitCode.NEEDS_PERSON
    assert not is_no_response(code)


@pytest.mark.parametrize("code", ["E20", "E21", "E30"])
def test_device_that_does_not_answer_the_dcc_is_no_refusal(code: str) -> None:
    assert is_no_response(code)
