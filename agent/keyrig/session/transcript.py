"""The transcript: every message either way, one JSON line each."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Protocol, Self

from keyrig.base.clock import instant_text
from keyrig.base.errors import SettingsError
from keyrig.base.private_files import open_private

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier


class Transcript(Protocol):
    """Takes each message as it leaves or has come."""

    def record(
        self,
        *,
        at: datetime,
        device: EntityIdentifier,
        direction: str,
        octets: bytes,
        verified: bool,
    ) -> None:
        """Record one message.

        Args:
            at: When it left or came.
            device: The device at the other end.
            direction: "command", "response" or "alert"; or for a document that goes to the DCC
                or comes from it "service-request", "service-answer" or "service-response".
            octets: The whole message.
            verified: Whether its protection verifies.
        """
        ...


class NoTranscript:
    """Keeps nothing."""

    def record(self, **message: object) -> None:
        """Ignore a message."""


class TranscriptFile:
    """Appends to a file for its owner alone, each line on the disk before the next message.

    Raises:
        SettingsError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
            self._file = os.fdopen(descriptor, "a", encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                str(path), f"the transcript cannot be written: {error.strerror}", "name another"
            ) from error

    def record(
        self,
        *,
        at: datetime,
        device: EntityIdentifier,
        direction: str,
        octets: bytes,
        verified: bool,
    ) -> None:
        """Append one message as a line of JSON, durably."""
        line = {
            "at": instant_text(at),
            "device": str(device),
            "direction": direction,
            "octets": octets.hex().upper(),
            "verified": verified,
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
