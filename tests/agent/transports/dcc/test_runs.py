from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gbcs.message import Message
from homes.boxed_home import ESME, GPF, GSME, HCALCS, PPMID, BoxedHome
from keyrig.base import events
from keyrig.config.rig_file import load_rig
from keyrig.domain.states import ServiceDocumentKind
from keyrig.evidence.evidence_check import Proof, check
from keyrig.evidence.evidence_file import read_evidence
from keyrig.evidence.evidence_key import evidence_key
from keyrig.evidence.evidence_writer import evidence
from keyrig.ledger.run_record import gather
from keyrig.report.report_building import compose
from keyrig.run.bench import RunResult
from keyrig.session.transcript import TranscriptFile

if TYPE_CHECKING:
    import pytest

SIGNED = {"R37b": Proof.MACED, "R37c": Proof.SIGNED, "R37d": Proof.SIGNED, "R37e": Proof.MACED}
OF_METER = {"R37a", "R37b", "R37c", "R37d", "R37e"}


def test_duties_of_a_home_are_done_by_service_requests_and_a_second_run_finds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch) as home:
        assert home.run(run_id="1" * 32) is RunResult.DONE
        finished = home.told.of(events.DutyFinished)
        assert {each.outcome for each in finished} == {"done"}
        done = {(each.device, each.requirement) for each in finished}
        assert done == {
            *((str(device), duty) for device in (ESME, GPF) for duty in OF_METER),
            *((str(GSME), duty) for duty in OF_METER - {"R37a"}),
            *((str(device), "R40") for device in (HCALCS, PPMID)),
        }
        home.told.all.clear()
        assert home.run(run_id="2" * 32) is RunResult.DONE
        assert home.told.of(events.CommandSent) == []
        verify_evidence(home)


def verify_evidence(home: BoxedHome) -> None:
    with home.ledger() as ledger:
        record = gather(ledger, "1" * 32)
        documents = record.service_documents
    assert {each.kind for each in documents} == {
        ServiceDocumentKind.REQUEST,
        ServiceDocumentKind.ANSWER,
        ServiceDocumentKind.RESPONSE,
        ServiceDocumentKind.DCC_ALERT,
    }
    assert all(each.signer for each in documents if not each.is_sent)
    messages = [m for each in compose(record, home.now).devices for m in each.messages]
    made_by_the_dcc = [each for each in messages if each.detail.startswith("made by the DCC")]
    assert {each.octets for each in made_by_the_dcc} == {0}
    assert {each.name[:5] for each in made_by_the_dcc} == {"CS02a", "CS02b"}
    octets = evidence(record, evidence_key(home.path, "boxed"), home.now)
    verdict = check(read_evidence(octets, "run.evidence"))
    assert verdict.findings == ()
    proofs = {duty.requirement: duty.proof for duty in verdict.duties if duty.device == ESME}
    assert {duty: proof for duty, proof in proofs.items() if duty in SIGNED} == SIGNED
    assert verdict.exchanges_that_hold == len(record.exchanges)


def test_what_leaves_is_the_agents_own_command_with_the_partys_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        assert home.run(run_id="1" * 32) is RunResult.DONE
        with home.ledger() as ledger:
            exchanges = ledger.exchanges.of_run("1" * 32)
            for exchange in exchanges:
                documents = ledger.service_documents.of_exchange(exchange.id)
                identifier = f"{exchange.originator}:{ESME}:{exchange.counter}"
                assert {each.request_id for each in documents} == {identifier}
                sent = [each.service for each in documents if each.is_sent]
                if not exchange.command:
                    assert sent == ["serviceS"]
                    continue
                assert sent == ["serviceT", "serviceS"]
                command = Message.parse(exchange.command)
                assert command.signature
                assert command.mac is None
                assert command.header.originator_counter == exchange.counter


def test_transcript_has_every_document_and_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "messages.jsonl"
    with (
        BoxedHome(tmp_path, monkeypatch, entities=[HCALCS]) as home,
        TranscriptFile(path) as transcript,
    ):
        assert home.run(transcript=transcript) is RunResult.DONE
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["direction"] for line in lines[:4]] == [
        "service-request",
        "service-answer",
        "service-response",
        "response",
    ]
    assert all(line["verified"] for line in lines)
    assert b"RetrieveDeviceSecurityCredentialsKRP" in bytes.fromhex(lines[0]["octets"])


def test_rig_file_to_start_from_is_one() -> None:
    rig = load_rig(Path(__file__).parents[4] / "hil-rigs" / "dcc-boxed.toml")
    assert rig.has_service_devices
    assert not rig.has_emulated_devices
