"""What messages prove of duties: changed keys, replacements, and runs that go on from others."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, load_der_x509_certificate
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.report.forging import (
    Told,
    bodies,
    duty_of,
    encoded,
    flip,
    forged,
    of_kind,
    reasons,
    verdict_of,
)
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.message import Message
from gbcs.protection import add_mac
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.use_cases import MessageCode, compose, decode_payload
from homes.recorded import ESME, HUB
from keyrig.base.clock import utc_now
from keyrig.base.errors import EvidenceBroken
from keyrig.cli import run_cli
from keyrig.domain import known_facts
from keyrig.duties.rules import rules_from_canonical
from keyrig.evidence.evidence_check import Proof
from keyrig.evidence.evidence_key import evidence_key, fingerprint
from keyrig.evidence.evidence_writer import evidence
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.run_record import gather
from meterstub.key_pair import KeyPair

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Recorded
    from homes.recorded import Recordings
    from homes.virtual_home import Home

SIGNATURE = KeyUsage.DIGITAL_SIGNATURE


class Meter(NamedTuple):
    """The evidence of a run of the meter, its first signing key, and its home."""

    octets: bytes
    first_key: KeyPair
    home: Home


@pytest.fixture(scope="module", name="meter")
def fixture_meter(recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> Meter:
    home = recordings.copy("meter done", tmp_path_factory.mktemp("meter"))
    (octets,) = files(home)
    memory = json.loads((home.agent / "factory" / "00db1234567890a0.json").read_bytes())
    first_key = KeyPair.from_pem(memory["device"]["key_pairs"][SIGNATURE.gbcs_name])
    return Meter(octets, first_key, home)


@pytest.fixture(name="told")
def fixture_told(meter: Meter) -> Told:
    return bodies(meter.octets)


def files(home: Home) -> list[bytes]:
    """Give the evidence of every run, oldest first, all written now."""
    written = []
    with Ledger(home.ledger, create=False) as ledger:
        for each in reversed(ledger.runs.runs()):
            key = evidence_key(home.agent / "rigs", each.rig_name)
            written.append(evidence(gather(ledger, each.id), key, utc_now()))
    return written


def exchange_of(
    told: Told, code: int, requirement: str, role: RemotePartyRole | KeyUsage | None = None
) -> tuple[dict[str, Any], Message]:
    """Give the last exchange of a use case for a requirement, and its command."""
    attempts = {a["id"] for a in of_kind(told, "attempt") if a["requirement"] == requirement}
    for body in reversed(of_kind(told, "exchange")):
        command = Message.parse(b64decode(body["command"]))
        if body["attempt"] not in attempts or command.header.message_code != code:
            continue
        decoded = decode_payload(command)
        assert decoded is not None
        if role is None or getattr(decoded.value, "key_usage", None) is role:
            return body, command
    raise AssertionError(f"no {code:04X} for {requirement}")


def signed_anew(octets: str, key: KeyPair) -> str:
    """Sign a response by another key."""
    response = Message.parse(b64decode(octets))
    signature = key.sign(response.signed_octets)
    return encoded(add_mac(response, signature=signature, shared_secret=None).octets)


def test_key_that_the_device_has_given_up_proves_nothing_afterwards(
    meter: Meter, told: Told
) -> None:
    # Before the change, a response signed by the first key is as good as what was there.
    body, _ = exchange_of(told, MessageCode.ISSUE_CREDENTIALS, "R37c", SIGNATURE)
    body["response"] = signed_anew(body["response"], meter.first_key)
    assert verdict_of(forged(told)).holds
    # After it, whoever knows the factory's keys could have written one.
    body, command = exchange_of(told, 0x0102, "R37d")
    line = 1 + next(i for i, (_, each) in enumerate(told) if each is body)
    change, _ = exchange_of(told, MessageCode.PROVIDE_DEVICE_CERTIFICATE, "R37c", SIGNATURE)
    ended = 1 + next(i for i, (_, each) in enumerate(told) if each is change)
    body["response"] = signed_anew(body["response"], meter.first_key)
    verdict = verdict_of(forged(told))
    assert (
        f"{line}: the signature of the response 0102 of {ESME} with counter "
        f"{command.header.originator_counter} is by a key that the device had given up at line "
        f"{ended}"
    ) in reasons(verdict)
    assert duty_of(verdict, "R37d").proof is Proof.NONE


def test_replacement_counts_by_the_command_that_it_answers(meter: Meter, told: Told) -> None:
    """The rig's own supplier signs another command afterwards, in place of the one sent."""
    body, command = exchange_of(told, 0x0102, "R37d")
    decoded = decode_payload(command)
    assert decoded is not None
    other = next(
        der
        for der in (b64decode(each["der"]) for each in of_kind(told, "certificate"))
        if (certificate := GBCSCertificate.from_der(der)).role is RemotePartyRole.SUPPLIER
        and certificate.key_usage is SIGNATURE
        and der != decoded.value.replacements[0].replacement_certificate
    )
    (replacement,) = decoded.value.replacements
    payload = replace(
        decoded.value, replacements=(replace(replacement, replacement_certificate=other),)
    )
    header = command.header
    unsigned = compose(header, payload)
    supplier = header.originator.stem
    signer = KeyPair.from_pem((meter.home.agent / "pki" / f"{supplier}-ds.key").read_text("ascii"))
    signature = signer.sign(unsigned.signed_octets)
    body["command"] = encoded(
        add_mac(unsigned, signature=signature, shared_secret=bytes(32)).octets
    )
    duty = duty_of(verdict_of(forged(told)), "R37d")
    assert duty.proof is Proof.NONE
    assert duty.reason == (
        "the device says that it put another certificate into {supplier, digitalSignature}"
    )


@pytest.mark.parametrize(
    ("code", "requirement", "told_of"),
    [
        (MessageCode.ISSUE_CREDENTIALS, "R37c", "no request of the device is for the"),
        (MessageCode.UPDATE_DEVICE_CERTIFICATE, "R37c", "the device was not sent the"),
        (MessageCode.PROVIDE_DEVICE_CERTIFICATE, "R37c", "the device gives no"),
        (0x0102, "R37d", "nothing that the device signed says"),
        (
            MessageCode.PROVIDE_CREDENTIALS,
            "R37e",
            "no response of the device tells of its recovery",
        ),
        (MessageCode.PROVIDE_CREDENTIALS, "R37b", "the supplier cells hold another party"),
        (MessageCode.PROVIDE_CREDENTIALS, "R37a", "the networkOperator cells hold another party"),
    ],
)
def test_duty_is_not_proved_without_each_of_its_exchanges(
    told: Told, code: int, requirement: str, told_of: str
) -> None:
    body, _ = exchange_of(told, code, requirement)
    told = [(kind, each) for kind, each in told if each is not body]
    verdict = verdict_of(forged(told))
    duty = duty_of(verdict, requirement)
    assert duty.proof is Proof.NONE
    assert told_of in duty.reason
    assert f"{duty.line}: {requirement} of {ESME} is called done, but {duty.reason}" in reasons(
        verdict
    )


def cells_told_anew(body: dict[str, Any], kept: frozenset[KeyUsage]) -> str:
    """Write a CS02a answer with fewer cells, under a MAC that is none."""
    response = Message.parse(b64decode(body["response"]))
    decoded = decode_payload(response)
    assert decoded is not None
    payload = tuple(
        replace(
            details,
            trust_anchor_cell_details=tuple(
                cell
                for cell in details.trust_anchor_cell_details
                if cell.trust_anchor_cell_key_usage in kept
            ),
        )
        for details in decoded.value
    )
    unprotected = compose(response.header, payload)
    return encoded(add_mac(unprotected, signature=b"", shared_secret=bytes(32)).octets)


def test_answer_under_a_mac_can_be_written_by_whoever_seals_and_is_said_to_be(told: Told) -> None:
    body, _ = exchange_of(told, MessageCode.PROVIDE_CREDENTIALS, "R37b")
    body["response"] = cells_told_anew(body, frozenset({SIGNATURE, KeyUsage.KEY_AGREEMENT}))
    verdict = verdict_of(forged(told))
    assert verdict.holds
    duty = duty_of(verdict, "R37b")
    assert duty.proof is Proof.MACED
    assert "which nobody can check without the broker's or the device's private key" in duty.reason
    assert verdict.responses_maced < verdict.responses


def test_credentials_need_the_cells_of_both_key_usages(told: Told) -> None:
    body, _ = exchange_of(told, MessageCode.PROVIDE_CREDENTIALS, "R37b")
    body["response"] = cells_told_anew(body, frozenset({SIGNATURE}))
    duty = duty_of(verdict_of(forged(told)), "R37b")
    assert duty.proof is Proof.NONE
    assert duty.reason == "the device does not tell of its supplier cells for both key usages"


def test_new_certificate_that_is_shown_under_the_old_key_proves_no_change(
    meter: Meter, told: Told
) -> None:
    body, _ = exchange_of(told, MessageCode.PROVIDE_DEVICE_CERTIFICATE, "R37c", SIGNATURE)
    body["response"] = signed_anew(body["response"], meter.first_key)
    verdict = verdict_of(forged(told))
    duty = duty_of(verdict, "R37c")
    assert duty.proof is Proof.NONE
    assert duty.reason == (
        "the device gives back its new digitalSignature certificate, and goes on signing with "
        "another key"
    )
    # What it signs afterwards by either key is no forgery: it never gave one up.
    assert not any("given up" in reason for reason in reasons(verdict))


def test_key_that_the_device_had_before_is_not_generated_anew(told: Told) -> None:
    body, _ = exchange_of(told, MessageCode.PROVIDE_DEVICE_CERTIFICATE, "R37c", SIGNATURE)
    decoded = decode_payload(Message.parse(b64decode(body["response"])))
    assert decoded is not None
    held = load_der_x509_certificate(decoded.value)
    builder = CertificateBuilder(
        held.issuer,
        held.subject,
        held.public_key(),
        held.serial_number + 1,
        held.not_valid_before_utc,
        held.not_valid_after_utc,
        list(held.extensions),
    )
    earlier = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    number = next(n for n, (kind, _) in enumerate(told) if kind == "device-certificate")
    der = encoded(earlier.public_bytes(Encoding.DER))
    told.insert(number, ("device-certificate", {"device": ESME, "der": der}))
    duty = duty_of(verdict_of(forged(told)), "R37c")
    assert duty.proof is Proof.NONE
    assert duty.reason == (
        "the digitalSignature key that the device gives back is one that it had before"
    )


def test_other_recovery_certificate_than_the_devices_is_found(told: Told) -> None:
    by_role = {
        GBCSCertificate.from_der(der).role: der
        for der in (b64decode(each["der"]) for each in of_kind(told, "certificate"))
    }
    supplier = by_role[RemotePartyRole.SUPPLIER]
    told[0][1]["parties"]["recovery_certificate"] = fingerprint(supplier)
    duty = duty_of(verdict_of(forged(told)), "R37e")
    assert duty.proof is Proof.NONE
    assert duty.reason == "what the file calls the Recovery Certificate is none of a known root"


def test_root_may_be_named_by_its_certificate(
    meter: Meter, told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "evidence"
    file.write_bytes(meter.octets)
    certificates = [b64decode(each["der"]) for each in of_kind(told, "certificate")]
    (root,) = [c for c in certificates if GBCSCertificate.from_der(c).role is RemotePartyRole.ROOT]
    for name, octets in (
        ("root.der", root),
        ("root.pem", load_der_x509_certificate(root).public_bytes(Encoding.PEM)),
    ):
        (tmp_path / name).write_bytes(octets)
        assert run_cli(["verify-evidence", str(file), "--root", str(tmp_path / name)]) == 0
        assert f"certificates lead to root {fingerprint(root)}\n" in capsys.readouterr().out
    for wrong, said in (
        (str(file), "holds no certificate"),
        (str(tmp_path / "none"), "neither a fingerprint nor a file"),
    ):
        assert run_cli(["verify-evidence", str(file), "--root", wrong]) == 2
        assert said in capsys.readouterr().err
    assert run_cli(["verify-evidence", str(file), "--key", "12"]) == 2
    assert "is not 64 hexadecimal digits" in capsys.readouterr().err


def test_rules_that_are_not_built_in_are_said_to_be_others(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (body,) = of_kind(told, "rules")
    text = json.loads(body["text"])
    text["edition"] = "Rules of mine"
    body["text"] = json.dumps(text)
    rules = rules_from_canonical(body["text"], "mine")
    body |= {"edition": rules.edition, "digest": rules.digest, "text": rules.canonical()}
    file = tmp_path / "evidence"
    file.write_bytes(forged(told))
    assert run_cli(["verify-evidence", str(file)]) == 0
    assert "rules Rules of mine, not those built in: read them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("scenario", "first"),
    [
        ("hub suspended and restored", None),
        ("hub refuses, then done", None),
        ("hub gives no certificate, then done", None),
        ("hub's answer damaged, then done", None),
        ("hub silent once, then done", Proof.SIGNED),
        ("hub without power, then done", None),
    ],
)
def test_run_that_goes_on_from_another_has_the_messages_of_both(
    recorded: Recorded, scenario: str, first: Proof | None
) -> None:
    home = recorded(scenario)
    before, after = (verdict_of(file) for file in files(home))
    assert reasons(before) == reasons(after) == ""
    assert duty_of(before, "R33a").proof is first
    assert duty_of(after, "R33a").proof is (Proof.SIGNED if first is None else Proof.ELSEWHERE)


class Later(NamedTuple):
    """The evidence of two runs: one that schedules a replacement, and one that hears of it."""

    sent: bytes
    heard: bytes


@pytest.fixture(name="later")
def fixture_later(recorded: Recorded) -> Later:
    return Later(*files(recorded("hub replaces a day later")))


def test_replacement_for_later_is_proved_by_its_alert(later: Later) -> None:
    sent, heard = verdict_of(later.sent), verdict_of(later.heard)
    assert reasons(sent) == reasons(heard) == ""
    duty = duty_of(sent, "R33b")
    assert (duty.state, duty.proof) == ("scheduled", None)
    duty = duty_of(heard, "R33b")
    assert (duty.state, duty.proof) == ("done", Proof.SIGNED)
    assert (
        duty.reason == "the device signed that it replaced {accessControlBroker, digitalSignature}"
    )
    assert duty_of(heard, "R33a").proof is Proof.ELSEWHERE


def test_alert_is_checked_and_belongs_to_its_command(later: Later) -> None:
    told = bodies(later.heard)
    (alert,) = of_kind(told, "alert")
    line = 1 + next(i for i, (kind, _) in enumerate(told) if kind == "alert")
    genuine = alert["octets"]
    alert["octets"] = flip(genuine, -3)
    verdict = verdict_of(forged(told))
    assert f"{line}: the signature of the alert 00CB of {HUB}" in reasons(verdict)
    assert duty_of(verdict, "R33b").proof is Proof.NONE
    # Without the command, the alert tells of something else.
    alert["octets"] = genuine
    kept = [(kind, body) for kind, body in told if kind != "exchange" or body["attempt"] is None]
    verdict = verdict_of(forged(kept))
    assert duty_of(verdict, "R33b").reason == (
        "nothing that the device signed says that it replaced a certificate"
    )
    # An alert that was not believed when it came is not held against anybody.
    alert |= {"octets": flip(genuine, -3), "verified": False}
    verdict = verdict_of(forged(told))
    assert "signature of the alert" not in reasons(verdict)
    assert duty_of(verdict, "R33b").proof is Proof.NONE


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        ["9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59+00:00", "done", "AAAA"]
    ),
    st.just([]),
    st.just({}),
    st.just([[]]),
)


@pytest.mark.sweep
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_file_of_somebody_elses_making_never_ends_the_check(meter: Meter, data: Any) -> None:
    told = bodies(meter.octets)
    for _ in range(data.draw(st.integers(1, 3))):
        _, body = told[data.draw(st.integers(1, len(told) - 1))]
        body[data.draw(st.sampled_from(sorted(body)))] = data.draw(ODD)
    try:
        verdict = verdict_of(forged(told))
    except EvidenceBroken:
        return
    assert len(verdict.duties) == len(of_kind(told, "duty"))


def test_commissioning_in_a_year_that_stands_for_none_is_not_read(told: Told) -> None:
    line = next(
        n
        for n, (kind, body) in enumerate(told, 1)
        if kind == "fact" and body["name"] == "commissioned_at"
    )
    told[line - 1][1]["value"] = "9999-12-31T00:00:00Z"
    with pytest.raises(EvidenceBroken, match=f"line {line}: .*is no commissioned_at"):
        verdict_of(forged(told))


def test_device_that_cannot_be_planned_is_named(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_facts, "LATEST_YEAR", 9999)
    line = next(n for n, (kind, body) in enumerate(told, 1) if kind == "fact")
    (body,) = [f for f in of_kind(told, "fact") if f["name"] == "commissioned_at"]
    body["value"] = "9999-12-31T00:00:00Z"
    verdict = verdict_of(forged(told))
    assert f"{line}: device {ESME} cannot be planned: date value out of range" in reasons(verdict)
    assert duty_of(verdict, "R37c").proof is Proof.NONE


def test_duty_that_is_left_out_is_found(told: Told) -> None:
    told = [(kind, body) for kind, body in told if kind != "duty" or body["requirement"] != "R37e"]
    assert f"R37e of {ESME} is owed, and left out" in reasons(verdict_of(forged(told)))


@pytest.mark.parametrize(
    ("name", "value"), [("overdue", True), ("deadline", "2026-12-31T00:00:00+00:00")]
)
def test_other_deadline_than_the_rules_give_is_found(told: Told, name: str, value: Any) -> None:
    line, body = next((n, body) for n, (kind, body) in enumerate(told, 1) if kind == "duty")
    body[name] = value
    verdict = verdict_of(forged(told))
    assert [finding.line for finding in verdict.findings] == [line]
    assert "has another clause or deadline, where the facts and rules" in reasons(verdict)
