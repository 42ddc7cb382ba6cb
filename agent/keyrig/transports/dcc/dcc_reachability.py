"""Checking that DCC Boxed can be reached by the settings, without any request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyrig.base.errors import LedgerLocked
from keyrig.transports.dcc.dcc_receiver import Receiver
from keyrig.transports.dcc.dcc_service import dcc_boxed_settings, duis_client, smki_client

if TYPE_CHECKING:
    from pathlib import Path


def check_reachable(data_folder: Path) -> str:
    """Check that the DUIS and SMKI services and the receiver's port can be used.

    Args:
        data_folder: The folder that relative paths in the settings start from.

    Returns:
        The finding, in one line.

    Raises:
        SettingsError: The settings name no DCC Boxed, or a secret or file that cannot be read.
        DCCUnreachable: A service does not answer.
        ReceiverUnusable: The receiver's port cannot be opened.
    """
    settings = dcc_boxed_settings()
    with duis_client(settings, data_folder) as duis, smki_client(settings, data_folder) as smki:
        duis.get("/")
        smki.get("/")
    with Receiver(settings.receive, settings.receive_path, _refuse) as receiver:
        return f"{settings.address} answers; answers are received on {receiver.address}"


def _refuse(document: bytes) -> None:
    """Refuse every document, so that what is posted at this moment is sent again."""
    raise LedgerLocked("the receiver", f"a check, {len(document)} octets not taken")
