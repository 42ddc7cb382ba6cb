"""The choice of the certificate authority that a rig file names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keyrig.base.clock import monotonic
from keyrig.keys.authority_by_command import CommandAuthority
from keyrig.keys.authority_by_hand import ByHandAuthority
from keyrig.keys.certificate_authority import NoAuthority, TestAuthority

if TYPE_CHECKING:
    from keyrig.config.rig_file import Rig
    from keyrig.keys.certificate_authority import CertificateAuthority
    from keyrig.keys.key_store import KeyStore


def authority_of(rig: Rig, data_folder: Path, store: KeyStore) -> CertificateAuthority:
    """Return the certificate authority of a rig; no request is made yet.

    Args:
        rig: The rig.
        data_folder: The folder that relative paths start from.
        store: The rig's key store, which has the test authority's key where there is one.
    """
    chosen = rig.certified_by
    if chosen is None:
        return NoAuthority(rig.name)
    if chosen.by == "test":
        return TestAuthority(store, os.urandom)
    if chosen.by == "by-hand":
        return ByHandAuthority(data_folder / (chosen.folder or Path("requests") / rig.name))
    return CommandAuthority(
        chosen.command, timeout_s=chosen.timeout_s, folder=data_folder, monotonic=monotonic
    )
