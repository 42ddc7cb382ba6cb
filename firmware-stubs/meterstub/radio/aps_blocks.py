"""Long messages of an emulated device: cut into APS blocks, and put together again.

Source: ZigBee PRO R21, 2.2.8.4.5 (fragmentation), with a window of one block.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from meterstub.radio.radio_packets import APSFrame, payload_maximum

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterstub.radio.zigbee_stack import Incoming, Stack

BLOCK_OCTETS: Final = 61
"""The payload of one block, as devices of GB networks have it."""
BLOCKS_MAXIMUM: Final = 255
ASSEMBLY_LIFETIME_S: Final = 30.0
FINISHED_LIMIT: Final = 16


@dataclass(slots=True)
class _Assembly:
    blocks: int
    expires_at: float
    parts: dict[int, bytes] = field(default_factory=dict)


class LongMessages:
    """Sends and takes APS messages of any length for one node.

    Args:
        stack: The node's.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._assemblies: dict[tuple[int, int], _Assembly] = {}
        self._finished: list[tuple[int, int]] = []

    def send(
        self,
        destination_id: int,
        frame: APSFrame,
        now: float,
        on_sent: Callable[[bool, float], None],
        *,
        is_encrypted: bool,
    ) -> None:
        """Send a frame, in blocks where it is too long; `on_sent` is told how it went."""
        payload = frame.payload
        assert isinstance(payload, bytes)
        if len(payload) <= payload_maximum(is_encrypted=is_encrypted, in_blocks=False):
            self._send(destination_id, frame, now, on_sent, is_encrypted=is_encrypted)
            return
        count = -(-len(payload) // BLOCK_OCTETS)
        if count > BLOCKS_MAXIMUM:
            on_sent(False, now)
            return

        def send_block(number: int, at: float) -> None:
            part = payload[number * BLOCK_OCTETS : (number + 1) * BLOCK_OCTETS]
            block = replace(frame, payload=part, block=(number, count), wants_acknowledgement=True)

            def done(is_delivered: bool, later: float) -> None:  # noqa: FBT001 - the callback's form
                if not is_delivered or number + 1 == count:
                    on_sent(is_delivered, later)
                else:
                    send_block(number + 1, later)

            self._send(destination_id, block, at, done, is_encrypted=is_encrypted)

        send_block(0, now)

    def _send(
        self,
        destination_id: int,
        frame: APSFrame,
        now: float,
        on_sent: Callable[[bool, float], None],
        *,
        is_encrypted: bool,
    ) -> None:
        if not self._stack.send_aps(destination_id, frame, now, on_sent, is_encrypted=is_encrypted):
            on_sent(False, now)

    def receive(self, message: Incoming, now: float) -> bytes | None:
        """Add a frame; return the whole payload once it is there.

        Blocks are acknowledged here, also those that come again.
        """
        frame = message.frame
        if frame.block is None:
            return message.payload
        self._stack.acknowledge(message, now)
        key = (message.sender, frame.counter)
        number, count = frame.block
        if key in self._finished:
            return None
        assembly = self._assemblies.get(key)
        if assembly is None or now >= assembly.expires_at:
            assembly = self._assemblies[key] = _Assembly(count, 0.0)
        assembly.expires_at = now + ASSEMBLY_LIFETIME_S
        assembly.blocks = count or assembly.blocks
        assembly.parts[number] = message.payload
        if len(assembly.parts) < assembly.blocks:
            return None
        del self._assemblies[key]
        self._finished.append(key)
        del self._finished[:-FINISHED_LIMIT]
        return b"".join(assembly.parts[each] for each in range(assembly.blocks))
