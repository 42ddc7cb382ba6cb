"""What evidence of a run by service requests proves, and forgeries of it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from agent.report.forging import bodies, changed, forged, of_kind, reasons, verdict_of
from duis.request_documents import parse_request
from homes.boxed_home import ESME, NOW, BoxedHome
from keyrig.domain.run_results import RunResult
from keyrig.evidence.evidence_check import Proof
from keyrig.evidence.evidence_key import evidence_key
from keyrig.evidence.evidence_writer import evidence
from keyrig.ledger.run_record import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = "1" * 32


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    path = tmp_path_factory.mktemp("boxed")
    with pytest.MonkeyPatch.context() as monkeypatch, BoxedHome(path, monkeypatch, [ESME]) as home:
        assert home.run(run_id=RUN) is RunResult.DONE
        with home.ledger() as ledger:
            record = gather(ledger, RUN)
        yield evidence(record, evidence_key(path, "boxed"), NOW)


def requests(told: list[tuple[str, dict[str, Any]]], variant: str) -> list[dict[str, Any]]:
    return [
        body
        for body in of_kind(told, "service-document")
        if body["kind"] == "request"
        and parse_request(base64.b64decode(body["document"]), "it").header.service_reference_variant
        == variant
    ]


def test_run_by_service_requests_is_proved(filed: bytes) -> None:
    verdict = verdict_of(filed)
    assert reasons(verdict) == ""
    proofs = {duty.requirement: duty.proof for duty in verdict.duties if duty.proof}
    assert proofs == {
        "R37a": Proof.MACED,
        "R37b": Proof.MACED,
        "R37c": Proof.SIGNED,
        "R37d": Proof.SIGNED,
        "R37e": Proof.MACED,
    }


def test_credentials_that_the_dcc_handed_over_are_told_with_the_device_s_signature(
    filed: bytes,
) -> None:
    (duty,) = [each for each in verdict_of(filed).duties if each.requirement == "R37b"]
    assert "before that, the device signed that it replaced" in duty.reason


def cut(told: list[tuple[str, dict[str, Any]]], body: dict[str, Any]) -> bytes:
    return forged([each for each in told if each[1] is not body])


def test_question_whose_request_is_left_out_proves_nothing(filed: bytes) -> None:
    told = bodies(filed)
    for body in requests(told, "6.24.1")[:2]:
        octets = cut(told, body)
        told = bodies(octets)
    found = reasons(verdict_of(octets))
    assert "the DCC made the command, and 0 service requests for it are here" in found


def altered(body: dict[str, Any], old: bytes, new: bytes) -> bool:
    document = base64.b64decode(body["document"])
    if body["kind"] != "request" or old not in document:
        return False
    body["document"] = base64.b64encode(document.replace(old, new)).decode()
    return True


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b">Recovery<", b">Supplier<"),
        (b"RequestHandoverOfDCCControlledDevice", b"UpdateSecurityCredentialsCoS"),
        (b"</sr:Request>", b"<x/></sr:Request>"),
        (b":00-DB-12-34-56-78-90-A0:", b":00-DB-12-34-56-78-90-A1:"),
    ],
)
def test_request_that_was_altered_is_found_at_its_exchange(
    old: bytes, new: bytes, filed: bytes
) -> None:
    octets, number = changed(filed, "service-document", lambda body: altered(body, old, new))
    assert f"the service request of line {number}" in reasons(verdict_of(octets))


def moved(one: dict[str, Any], other: dict[str, Any]) -> None:
    one["exchange"], other["exchange"] = other["exchange"], one["exchange"]


def test_request_of_another_exchange_is_found(filed: bytes) -> None:
    told = bodies(filed)
    first, second, *_ = requests(told, "6.24.1")
    moved(first, second)
    assert reasons(verdict_of(forged(told)))


def swap_signed(told: list[tuple[str, dict[str, Any]]]) -> None:
    first, second = [
        body for body in requests(told, "6.17") if b"SignedPreCommand" in document_of(body)
    ]
    moved(first, second)


def swap_answers(told: list[tuple[str, dict[str, Any]]]) -> None:
    asked = [body["exchange"] for body in requests(told, "6.24.1")]
    first, second = [body for body in of_kind(told, "exchange") if body["id"] in asked[1:3]]
    first["response"], second["response"] = second["response"], first["response"]


def document_of(body: dict[str, Any]) -> bytes:
    return base64.b64decode(body["document"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (swap_signed, "another signed pre-command than the command"),
        (swap_answers, "is not above the answer of line"),
    ],
)
def test_messages_that_were_swapped_are_found(
    change: Callable[[list[tuple[str, dict[str, Any]]]], None], reason: str, filed: bytes
) -> None:
    told = bodies(filed)
    change(told)
    assert reason in reasons(verdict_of(forged(told)))
