"""The public certificates of a rig's key store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.api.serving import RIG, serving
from homes.recorded import SUPPLIER
from keyrig.base.clock import utc_now
from keyrig.config.rig_file import emulated_home_text
from keyrig.keys.lab_pki import initialise
from softhsm import PIN, soft_tokens

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_certificate_whose_key_is_in_a_token_of_the_rig_is_listed_as_having_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = soft_tokens(tmp_path, monkeypatch)
    tokens.make("listed")
    initialise(home / "pki", utc_now(), os.urandom)
    path = home / "pki" / f"{SUPPLIER}-ds.key"
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    tokens.put("listed", key=key, name=path.stem)
    path.unlink()
    (home / "pin").write_text(PIN, encoding="utf-8")
    (home / "pin").chmod(0o600)
    token = f'[[pki.token]]\nlibrary = "{tokens.library}"\ntoken = "listed"\n'
    marker = "# Who is responsible"
    rig = tmp_path / "rig.toml"
    text = emulated_home_text().replace(marker, f'{token}pin = {{ file = "pin" }}\n\n{marker}', 1)
    rig.write_text(text, encoding="utf-8")
    with serving(home, rigs=[rig]) as served:
        document = served.client.get(f"/api/v1/rigs/{RIG}/certificates").json()
    held = {each["source"]: each["private_key"] for each in document["certificates"]}
    assert held[f"{SUPPLIER}-ds.pem"] is True
