"""The home whose suppliers' keys are in SoftHSM; openssl made them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from homes.strangers_home import ESME, MET, proved, states
from softhsm import PIN, soft_tokens
from strangers.openssl_pki import SECOND_SUPPLIER, SUPPLIER

if TYPE_CHECKING:
    from pathlib import Path

    from homes.strangers_home import StrangersHome
    from softhsm import SoftTokens
    from strangers.openssl_pki import Organisation

LABELS = {SUPPLIER: "bright", SECOND_SUPPLIER: "second"}


@pytest.fixture(name="tokens")
def fixture_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftTokens:
    folder = tmp_path / "softhsm"
    folder.mkdir()
    return soft_tokens(folder, monkeypatch)


def move_keys(strangers: StrangersHome, tokens: SoftTokens, organisation: Organisation) -> None:
    """Put an organisation's keys into a token, and remove their files.

    softhsm2-util imports those that sign; it lets no key that it imports agree secrets.
    """
    label = LABELS[organisation]
    tokens.make(label)
    for number, use in enumerate(organisation.uses, 1):
        file = strangers.pki.agent / f"{organisation.entity}-{use}.key"
        if use == "ds":
            tokens._util(
                "--import", str(file), "--token", label, "--label", "signs",
                "--id", f"{number:02x}", "--pin", PIN,
            )  # fmt: skip
        else:
            key = load_pem_private_key(file.read_bytes(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            tokens.put(label, key=key, name=use, identifier=bytes([number]))
        file.unlink()


@pytest.fixture(name="home")
def fixture_home(strangers: StrangersHome, tokens: SoftTokens) -> StrangersHome:
    pin = strangers.folder / "pin"
    pin.write_text(PIN, encoding="utf-8")
    pin.chmod(0o600)
    parts = []
    for organisation, label in LABELS.items():
        move_keys(strangers, tokens, organisation)
        parts.append(
            f'[[pki.token]]\nlibrary = "{tokens.library}"\ntoken = "{label}"\n'
            f'pin = {{ file = "{pin}" }}\n'
        )
    return replace(strangers, tokens="\n".join(parts))


def test_suppliers_whose_keys_are_in_tokens_do_every_duty_by_hand(home: StrangersHome) -> None:
    with home.devices():
        assert not list((home.home / "pki").glob(f"{SUPPLIER.entity}-*.key"))
        doctor = home.keyrig("doctor", home.rig)
        assert doctor.code == 0, str(doctor)
        first = home.keyrig("run", home.rig, "--json")
    assert first.code == 4, str(first)
    assert len(home.requests()) == len(home.asked()) == 8
    home.certify_all()
    with home.devices():
        last = home.keyrig("run", home.rig, "--json")
    assert last.code == 0, str(last)
    assert set(states(last).values()) <= MET
    verdicts = [home.verified(done.of("run-started")[0]["run"]) for done in (first, last)]
    assert all(verdict["holds"] for verdict in verdicts)
    owed = {duty for duty, state in states(last).items() if state == "done"}
    assert set().union(*map(proved, verdicts)) == owed


def test_token_that_is_not_there_is_the_rigs_fault_and_no_key_is_made(
    home: StrangersHome, tokens: SoftTokens
) -> None:
    with home.devices():
        tokens.take_away(with_folder=False)
        done = home.keyrig("run", home.rig, "--device", str(ESME), "--json")
    assert done.code == 4, str(done)
    assert "bright" in done.out + done.err
    assert not home.state(ESME).pending
    assert not done.of("smi-status")
