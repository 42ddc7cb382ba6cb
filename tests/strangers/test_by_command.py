"""Certification by the guide's own programs, of the home whose PKI is openssl's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from homes.strangers_home import CHANGING, ESME, MET, proved, states
from programs import needed_program
from strangers.enrolment import enrolment_server
from strangers.guide import program
from strangers.openssl_pki import DEVICE_POLICY

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from homes.strangers_home import Done, StrangersHome
    from strangers.enrolment import Enrolment
    from strangers.openssl_pki import OpenSSLPKI


def by_command(path: Path, *arguments: str) -> str:
    words = ", ".join(f'"{word}"' for word in (path, *arguments))
    return f'[certification]\nby = "command"\ncommand = [{words}]\n'


def with_openssl(
    strangers: StrangersHome, pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> StrangersHome:
    needed_program("flock")
    monkeypatch.setenv("KEYRIG_CA", str(pki.folder / "authorities" / "device-issuing"))
    monkeypatch.setenv("KEYRIG_CA_POLICY", DEVICE_POLICY)
    path = program("certify-by-openssl", strangers.folder)
    return replace(strangers, certification=by_command(path))


def with_enrolment(
    strangers: StrangersHome, server: Enrolment, monkeypatch: pytest.MonkeyPatch
) -> StrangersHome:
    needed_program("curl")
    settings = strangers.folder / "est.conf"
    settings.touch()
    monkeypatch.setenv("KEYRIG_EST", server.url)
    monkeypatch.setenv("KEYRIG_EST_CONFIG", str(settings))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path = program("certify-by-est", strangers.folder)
    return replace(strangers, certification=by_command(path))


def makes_no_key(strangers: StrangersHome) -> bool:
    return not any(strangers.state(member.entity).pending for member in CHANGING)


def run_esme(strangers: StrangersHome) -> Done:
    return strangers.keyrig("run", strangers.rig, "--device", str(ESME), "--json")


def test_one_run_ends_with_every_duty_done_and_proved(
    strangers: StrangersHome, pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = with_openssl(strangers, pki, monkeypatch)
    with home.devices():
        doctor = home.keyrig("doctor", home.rig)
        assert doctor.code == 0, str(doctor)
        done = home.keyrig("run", home.rig, "--json")
    assert done.code == 0, str(done)
    assert set(states(done).values()) <= MET
    verdict = home.verified()
    assert verdict["holds"]
    assert proved(verdict) == {duty for duty, state in states(done).items() if state == "done"}
    issued = pki.folder / "authorities" / "device-issuing" / "issued"
    assert len(list(issued.glob("5A*.pem"))) == 2 * len(CHANGING)


def test_program_that_cannot_certify_holds_the_change_back_before_a_key_is_made(
    near: StrangersHome, pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = with_openssl(near, pki, monkeypatch)
    with home.devices():
        (pki.folder / "authorities" / "device-issuing" / "own.key").unlink()
        doctor = home.keyrig("doctor", home.rig)
        done = run_esme(home)
    assert doctor.code == 4, str(doctor)
    assert "certify-by-openssl" in doctor.out
    assert done.code == 4, str(done)
    assert makes_no_key(home)
    assert not done.of("smi-status")
    after = states(done)
    assert after[str(ESME), "R37c"] == "due"
    # What needs no authority is done all the same.
    assert {s for d, s in after.items() if d[0] == str(ESME) and d[1] != "R37c"} <= MET


def test_enrolment_server_that_takes_longer_is_asked_again_by_the_next_run(
    near: StrangersHome, pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    with enrolment_server(pki) as server:
        home = with_enrolment(near, server, monkeypatch)
        server.status = 202
        with home.devices():
            first = run_esme(home)
            waiting = home.requests()
            assert first.code == 4, str(first)
            assert states(first)[str(ESME), "R37c"] == "waiting"
            assert len(waiting) == 2
            assert all("3600" in each["answer"] for each in waiting)
            server.status = 200
            second = run_esme(home)
    assert second.code == 0, str(second)
    assert home.requests() == []
    assert states(second)[str(ESME), "R37c"] == "done"
    # The same two requests, posted twice.
    assert len(server.requests) == 4
    assert len(set(server.requests)) == 2


def test_enrolment_server_that_says_no_is_not_the_devices_failure(
    near: StrangersHome, pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    with enrolment_server(pki) as server:
        home = with_enrolment(near, server, monkeypatch)
        server.status = 403
        with home.devices():
            done = run_esme(home)
    assert done.code == 4, str(done)
    assert not done.of("smi-status")
    assert "this device is not known here" in done.out
    assert states(done)[str(ESME), "R37c"] not in {*MET, "failed"}


def test_certificate_that_became_valid_while_it_was_made_is_taken(
    near: StrangersHome, pki: OpenSSLPKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    with enrolment_server(pki) as server:
        home = with_enrolment(near, server, monkeypatch)
        server.starts_when_given = True
        with home.devices():
            done = run_esme(home)
    assert done.code == 0, str(done)
    assert states(done)[str(ESME), "R37c"] == "done"
