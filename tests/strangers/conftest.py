from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from homes.strangers_home import StrangersHome
from programs import needed_program
from strangers.openssl_pki import OpenSSLPKI, copy_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session", name="made_pki")
def fixture_made_pki(tmp_path_factory: pytest.TempPathFactory) -> OpenSSLPKI:
    needed_program("openssl")
    return OpenSSLPKI.make(tmp_path_factory.mktemp("openssl") / "pki")


@pytest.fixture(name="pki")
def fixture_pki(made_pki: OpenSSLPKI, tmp_path: Path) -> OpenSSLPKI:
    return copy_of(made_pki, tmp_path / "openssl-pki")


@pytest.fixture(name="strangers")
def fixture_strangers(pki: OpenSSLPKI, tmp_path: Path) -> StrangersHome:
    return StrangersHome(tmp_path, pki)


@pytest.fixture(name="near")
def fixture_near(pki: OpenSSLPKI, tmp_path: Path) -> StrangersHome:
    """The same, where the program is called within this process."""
    return StrangersHome(tmp_path, pki, is_near=True)
