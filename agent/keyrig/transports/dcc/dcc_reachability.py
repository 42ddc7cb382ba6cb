"""Whether DCC Boxed can be reached as the settings have it; asks for nothing, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyrig.base.errors import LedgerLocked
from keyrig.transports.dcc.dcc_receiver import Receiver
from keyrig.transports.dcc.dcc_service import dcc_boxed_settings, duis_client, smki_client

if TYPE_CHECKING:
    from pathlib import Path


def check_reachable(home: Path) -> str:
    """Connect to the DUIS and SMKI services, and have the receiver's port for a moment.

    Args:
        home: What relative paths in the settings are below.

    Returns:
        What is there, in one line.

    Raises:
        SettingsError: The settings name no DCC Boxed, or a secret or file that cannot be had.
        DCCUnreachable: A service does not answer.
        ReceiverUnusable: The port for answers cannot be had.
    """
    settings = dcc_boxed_settings()
    with duis_client(settings, home) as duis, smki_client(settings, home) as smki:
        duis.get("/")
        smki.get("/")
    with Receiver(settings.receive, settings.receive_path, _refuse) as receiver:
        return f"{settings.address} answers; answers are received on {receiver.address}"


def _refuse(document: bytes) -> None:
    """Take nothing: whatever comes at this moment is to be sent again."""
    raise LedgerLocked("the receiver", f"a check, {len(document)} octets not taken")
