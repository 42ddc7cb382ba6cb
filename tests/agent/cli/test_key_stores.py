"""Whole runs on the emulated home whose suppliers' private keys are in a PKCS#11 token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text
from softhsm import PIN, SoftTokens, soft_tokens

if TYPE_CHECKING:
    from pathlib import Path

SUPPLIERS = ("90b3d51f30010000", "90b3d51f30030000")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    assert run_cli(["pki", "init"]) == 0
    return home


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftTokens:
    return soft_tokens(tmp_path, monkeypatch)


def with_suppliers_keys_in_a_token(home: Path, tokens: SoftTokens, label: str) -> str:
    """Move the suppliers' private keys from the folder to a token; give a rig that names both."""
    tokens.make(label)
    moved = [path for stem in SUPPLIERS for path in sorted((home / "pki").glob(f"{stem}-*.key"))]
    assert len(moved) == 8
    for path in moved:
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        tokens.put(label, key=key, name=path.stem)
        path.unlink()
    (home / "pin").write_text(PIN, encoding="utf-8")
    (home / "pin").chmod(0o600)
    rig = home / "rig.toml"
    token = f'[[pki.token]]\nlibrary = "{tokens.library}"\ntoken = "{label}"\n'
    rig.write_text(
        emulated_home_text().replace(
            "# Who is responsible", token + 'pin = { file = "pin" }\n\n# Who is responsible', 1
        ),
        encoding="utf-8",
    )
    return str(rig)


def run(rig: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    code = run_cli(["run", rig, "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def outcomes(told: list[dict[str, Any]]) -> set[str]:
    return {event["outcome"] for event in told if event["type"] == "duty-finished"}


def test_a_run_is_carried_out_with_the_suppliers_keys_in_a_token(
    home: Path, tokens: SoftTokens, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = with_suppliers_keys_in_a_token(home, tokens, "whole-run")
    code, told = run(rig, capsys)
    assert code == 0
    assert outcomes(told) == {"done"}
    assert not list((home / "pki").glob(f"{SUPPLIERS[0]}-*.key"))
    assert run_cli(["pki", "check", "--rig", rig]) == 0
    assert " 21 keys, 0 findings" in capsys.readouterr().out
    assert run_cli(["pki", "show", "--rig", rig, "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    held = {line["source"]: line["private_key"] for line in shown}
    assert held[f"{SUPPLIERS[0]}-ds.pem"] is True
    to = home / "keystore.json"
    arguments = ["pki", "export", "--format", "dcc-boxed", "--private", "--rig", rig, str(to)]
    assert run_cli(arguments) == 3
    left_out = capsys.readouterr().err
    assert left_out.count("the private key stays in its token") == 8
    document = json.loads(to.read_bytes())
    entries = document[SUPPLIERS[0]]["digitalSignature"].values()
    assert [each["role"] for each in entries if "privateKey" not in each] == [2, 135]
    assert "privateKey" in next(iter(document["90b3d51f30000002"]["digitalSignature"].values()))


def test_a_token_that_goes_away_in_the_midst_fails_no_duty_and_the_next_run_goes_on(
    home: Path,
    tokens: SoftTokens,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = with_suppliers_keys_in_a_token(home, tokens, "pulled-out")
    from keyrig.keys.pkcs11_tokens import TokenSigner  # noqa: PLC0415 - the fixture skips without it

    sign, signed = TokenSigner.sign, 0

    def sign_until_it_is_pulled(self: TokenSigner, octets: bytes) -> bytes:
        nonlocal signed
        signed += 1
        if signed == 3:
            tokens.take_away(with_folder=False)
        return sign(self, octets)

    monkeypatch.setattr(TokenSigner, "sign", sign_until_it_is_pulled)
    code, told = run(rig, capsys)
    assert code == 4
    assert signed > 3
    assert not outcomes(told) & {"failed"}
    reasons = {event["reason"] for event in told if event["type"] == "person-needed"}
    assert any("token pulled-out: the token is not there" in reason for reason in reasons)
    tokens.bring_back()
    code, told = run(rig, capsys)
    assert code == 0
    assert outcomes(told) == {"done"}


def test_a_pin_in_the_rig_file_is_refused_and_not_shown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = home / "rig.toml"
    token = '[[pki.token]]\nlibrary = "x"\ntoken = "t"\npin = "ABC-SECRET"\n\n'
    text = emulated_home_text().replace("# Who is responsible", token + "# Who is responsible", 1)
    rig.write_text(text, encoding="utf-8")
    assert run_cli(["plan", str(rig)]) == 2
    told = capsys.readouterr().err
    assert "a secret is never written here" in told
    assert "ABC-SECRET" not in told
