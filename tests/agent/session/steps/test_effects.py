from __future__ import annotations

import pytest

from authorities import SUPPLIER
from gbcs.use_cases import MessageCode
from keyrig.session.steps.effects import Answer, Ask, NoResponse, ask


def test_ask_yields_one_command_with_all_it_was_given_and_gives_its_answer() -> None:
    script = ask(
        MessageCode.ISSUE_CREDENTIALS,
        SUPPLIER,
        lambda counter: ("payload", counter),
        repeatable=False,
        detail="digitalSignature",
        signing_key_identifier=b"\x01" * 8,
    )
    asked = next(script)
    assert isinstance(asked, Ask)
    assert (asked.message_code, asked.originator) == (0x000A, SUPPLIER)
    assert asked.payload(7) == ("payload", 7)
    assert (asked.repeatable, asked.signing_key_identifier) == (False, b"\x01" * 8)
    assert asked.what == "CS02c Issue Security Credentials (digitalSignature)"
    answer = Answer(payload="said", exchange_id=3)
    with pytest.raises(StopIteration) as stop:
        script.send(answer)
    assert stop.value.value is answer


def test_ask_without_a_detail_is_named_by_its_use_case_alone() -> None:
    asked = Ask(message_code=0x000A, originator=SUPPLIER, payload=int, repeatable=True)
    assert asked.what == "CS02c Issue Security Credentials"


def test_no_response_says_what_was_waited_for_and_how_long() -> None:
    error = NoResponse("CS02c", 4.0)
    assert str(error) == "no response to CS02c within 4 s"
    assert (error.what, error.waited_s) == ("CS02c", 4.0)
