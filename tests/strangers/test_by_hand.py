"""Certification by hand, of a home whose PKI is openssl's and whose devices run elsewhere."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.certification_request import CertificationRequest, build_certification_request
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.roles import KeyUsage
from homes.strangers_home import CHANGING, ESME, MET, proved, states
from meterstub.key_pair import generate_key
from strangers.devices import HOME, USES
from strangers.openssl_pki import OpenSSLPKI, openssl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homes.strangers_home import Asked, StrangersHome

DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
RENEWING = {"R33a", "R37c"}
WAITING = {(str(member.entity), usage.gbcs_name) for member in CHANGING for usage in USES.values()}


def answer_in_every_form(pki: OpenSSLPKI, asked: Sequence[Asked], folder: Path) -> list[Path]:
    """Certify requests by openssl, and return them in PEM, DER, PKCS#7 and a zip."""
    folder.mkdir()
    ders = [pki.certify(each.pem.read_bytes()) for each in asked]
    pems = [openssl("x509", "-inform", "DER", given=der) for der in ders]
    single, several, binary = folder / "one.der", folder / "several.pem", folder / "answer.p7b"
    single.write_bytes(ders[0])
    several.write_bytes(b"Northern Devices\r\n" + pems[1] + b"and\n" + pems[2])
    bag = b"".join([*pems[3:5], pki.file("device-issuing").read_bytes()])
    binary.write_bytes(
        openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "DER", given=bag)
    )
    text = folder / "answer.p7"
    text.write_bytes(openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", given=pems[5]))
    packed = folder / "rest.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.txt", "from the registration authority")
        for number, pem in enumerate(pems[6:]):
            archive.writestr(f"certificates/{number}.pem", pem)
    return [single, several, binary, text, packed]


def verify_requests(strangers: StrangersHome) -> None:
    """Check that files, list and command agree on what waits: both keys of each device."""
    waiting, asked = strangers.requests(), strangers.asked()
    assert {(each["device"], each["key_usage"]) for each in waiting} == WAITING
    assert len(asked) == len(waiting)
    listed = (strangers.requests_folder / "requests.txt").read_text(encoding="utf-8").splitlines()
    assert len(listed) == len(waiting)
    for each in waiting:
        (pem,) = [a for a in asked if f".{each['key_identifier']}." in a.pem.name]
        assert Path(each["file"]) == pem.pem
        assert openssl("req", "-outform", "DER", given=pem.pem.read_bytes()) == pem.der
        (line,) = [line for line in listed if each["key_identifier"] in line]
        due_by = f"{each['due_by'][:19]}Z"
        for said in (each["device"], each["key_usage"], due_by):
            assert said in line


def test_stops_with_every_request_waiting_and_one_more_run_ends_with_every_duty_proved(
    strangers: StrangersHome, tmp_path: Path
) -> None:
    with strangers.devices():
        doctor = strangers.keyrig("doctor", strangers.rig)
        assert doctor.code == 0, str(doctor)
        first = strangers.keyrig("run", strangers.rig, "--json")
    assert first.code == 4, str(first)
    after_first = states(first)
    assert {duty for duty, state in after_first.items() if state == "waiting"} == {
        (str(member.entity), "R33a" if member.type.value == "CHF" else "R37c")
        for member in CHANGING
    }
    assert {s for d, s in after_first.items() if d[1] not in RENEWING} <= MET
    assert not first.of("smi-status")

    asked = strangers.asked()
    verify_requests(strangers)
    before = {member.entity: strangers.state(member.entity) for member in HOME}
    for member in CHANGING:
        held = before[member.entity]
        assert set(held.pending) == {DS, KA}
        first_certificate = strangers.memories / f"{member.entity.stem}-ds.der"
        assert held.certificates[DS] == first_certificate.read_bytes()

    # Asked again while nothing is certified, devices make no further keys.
    with strangers.devices():
        again = strangers.keyrig("run", strangers.rig, "--json")
    assert again.code == 4, str(again)
    for member in CHANGING:
        assert strangers.state(member.entity).pending == before[member.entity].pending
    assert {each.pem for each in strangers.asked()} == {each.pem for each in asked}

    files = answer_in_every_form(strangers.pki, asked, tmp_path / "answers")
    taken = strangers.keyrig("pki", "certified", *files)
    assert taken.code == 0, str(taken)
    assert strangers.requests() == []
    assert strangers.asked() == []

    with strangers.devices():
        last = strangers.keyrig("run", strangers.rig, "--json")
        status = strangers.keyrig("status", strangers.rig)
    assert last.code == 0, str(last)
    assert set(states(last).values()) <= MET
    assert status.code == 0, str(status)
    for member in CHANGING:
        now = strangers.state(member.entity)
        assert now.pending == {}
        assert now.key_pairs == before[member.entity].pending
        for usage in USES.values():
            certificate = GBCSCertificate.from_der(now.certificates[usage])
            own = now.key_pairs[usage].public_key
            assert public_octets(certificate.public_key) == public_octets(own)

    # The evidence of the three runs together proves every duty, wherever it is looked at.
    runs = {done.of("run-started")[0]["run"] for done in (first, again, last)}
    verdicts = [strangers.verified(run) for run in sorted(runs)]
    assert all(verdict["holds"] for verdict in verdicts)
    owed = {duty for duty, state in states(last).items() if state == "done"}
    assert set().union(*map(proved, verdicts)) == owed


def test_wrong_certificates_change_nothing_and_a_request_given_up_makes_room_for_another_key(
    near: StrangersHome, tmp_path: Path
) -> None:
    arguments = ("run", near.rig, "--device", str(ESME), "--json")
    with near.devices():
        assert near.keyrig(*arguments).code == 4
    waiting, asked = near.requests(), near.asked()[0]
    usage = CertificationRequest.from_der(asked.der).key_usage
    other_device = EntityIdentifier.parse("04e676000000c4cc")
    wrong = {
        "another-authority": OpenSSLPKI.make(tmp_path / "others").certify(asked.der),
        "another-key": near.pki.certify(build_certification_request(generate_key(), usage, ESME)),
        "another-device": near.pki.certify(
            build_certification_request(generate_key(), usage, other_device)
        ),
    }
    for kind, der in wrong.items():
        file = tmp_path / f"{kind}.der"
        file.write_bytes(der)
        done = near.keyrig("pki", "certified", file)
        assert done.code == 3, str(done)
        assert file.name in done.out + done.err
        assert near.requests() == waiting
    assert not list((near.home / "pki").glob("*.*.pem"))

    before = {each["key_identifier"] for each in waiting}
    for identifier in before:
        done = near.keyrig("pki", "void", identifier, "--reason", "lost by the courier")
        assert done.code == 0, str(done)
    assert near.requests() == []
    with near.devices():
        assert near.keyrig(*arguments).code == 4
    assert not before & {each["key_identifier"] for each in near.requests()}


def test_device_that_lost_its_pending_keys_makes_others_which_wait_in_their_turn(
    near: StrangersHome,
) -> None:
    arguments = ("run", near.rig, "--device", str(ESME), "--json")
    with near.devices():
        assert near.keyrig(*arguments).code == 4
    lost = {each["key_identifier"] for each in near.requests()}
    near.lose_pending(ESME)
    near.certify_all()
    with near.devices():
        second = near.keyrig(*arguments)
    assert second.code == 4, str(second)
    assert not second.of("smi-status"), str(second)
    waiting = near.requests()
    assert {each["key_usage"] for each in waiting} == {"digitalSignature", "keyAgreement"}
    assert not lost & {each["key_identifier"] for each in waiting}
    near.certify_all()
    with near.devices():
        third = near.keyrig(*arguments)
    assert third.code == 0, str(third)
    assert states(third)[str(ESME), "R37c"] == "done"
    assert (str(ESME), "R37c") in proved(near.verified())


@pytest.mark.parametrize("use", ["ds", "ka"])
def test_device_that_stores_its_certificate_and_keeps_its_old_key_is_never_done(
    use: str, near: StrangersHome
) -> None:
    # After the change of its agreement key, the new key is waited for in vain.
    near = replace(near, timeout_s=3)
    arguments = ("run", near.rig, "--device", str(ESME), "--json")
    fault = ("--fault", f"{ESME}:keeps-old-key={use}")
    with near.devices(*fault):
        assert near.keyrig(*arguments).code == 4
    near.certify_all()
    old = near.state(ESME).key_pairs[USES[use]]
    with near.devices(*fault):
        done = near.keyrig(*arguments)
    # It is as the fault says: the new certificate, and the old key.
    held = near.state(ESME)
    assert held.key_pairs[USES[use]] == old
    certificate = GBCSCertificate.from_der(held.certificates[USES[use]])
    assert public_octets(certificate.public_key) != public_octets(old.public_key)
    assert done.code in {3, 4}, str(done)
    assert states(done)[str(ESME), "R37c"] not in MET, str(done)
    assert (str(ESME), "R37c") not in proved(near.verified())
