"""General block transfer: messages longer than a tunnel takes, both ways.

A message is cut into numbered blocks. The sender streams a window of them and hands the turn
over with the last; the receiver acknowledges up to the first gap, and the sender goes on behind
that. Blocks that came out of order are kept, so that only a gap is waited for.

Source: GBCS 7.2.11; DLMS UA 1000-2 (general block transfer). Sizes and times are assumed.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from gbcs.protocol_errors import LocalProtocolError, RemoteProtocolError, SequenceError
from meterlink.link_events import NEED_DATA, NeedData
from zse import smart_energy_assumptions
from zse.routed_block import (
    WINDOW_MAXIMUM,
    Block,
    RoutingHeader,
    decode_routed_block,
    encode_routed_block,
)

LAYER: Final = "general block transfer"
CLAUSE: Final = "GBCS 7.2.11"


class GiveUpReason(enum.Enum):
    """Why a message did not get through."""

    NO_ANSWER = "blocks were not acknowledged"
    NO_PROGRESS = "the same block was lost again and again"
    NO_BLOCK = "no further block came"
    TOO_LONG = "it is longer than is put together"


@dataclass(frozen=True, slots=True)
class BlockTransferLimits:
    """Sizes, times and retries of block transfer.

    Args:
        block_octets: The longest block data, sent and taken.
        window: Blocks before an acknowledgement, sent and taken, 1 to 63.
        timeout_s: For an acknowledgement.
        attempts: How often a window goes out without progress.
        receive_timeout_s: For a further block; as long a finished message is remembered.
        number_maximum: The highest block number.
        message_octets: The longest message.
        transfers: Messages put together at once.
    """

    block_octets: int = smart_energy_assumptions.BLOCK_DATA_OCTETS
    window: int = smart_energy_assumptions.BLOCK_WINDOW
    timeout_s: float = smart_energy_assumptions.BLOCK_TIMEOUT_S
    attempts: int = smart_energy_assumptions.BLOCK_ATTEMPTS
    receive_timeout_s: float = smart_energy_assumptions.BLOCK_RECEIVE_TIMEOUT_S
    number_maximum: int = smart_energy_assumptions.BLOCK_NUMBER_MAXIMUM
    message_octets: int = smart_energy_assumptions.BLOCK_MESSAGE_OCTETS_LIMIT
    transfers: int = smart_energy_assumptions.BLOCK_TRANSFERS_LIMIT

    def __post_init__(self) -> None:
        """Raise an error for limits that cannot be."""
        if not 1 <= self.window <= WINDOW_MAXIMUM:
            raise LocalProtocolError(f"a window is 1 to {WINDOW_MAXIMUM}, not {self.window}")
        if min(self.block_octets, self.attempts, self.number_maximum, self.transfers) < 1:
            raise LocalProtocolError("block size, attempts, numbers and transfers are 1 or more")


_DEFAULT_LIMITS: Final = BlockTransferLimits()


@dataclass(frozen=True, slots=True)
class MessageAssembled:
    """A whole message arrived; whether it is what its blocks said is for the owner to see.

    Args:
        octets: The message.
        routing: What its blocks said it is.
    """

    octets: bytes
    routing: RoutingHeader


@dataclass(frozen=True, slots=True)
class MessageDelivered:
    """The peer has every block of the oldest message.

    Args:
        octets: The message.
    """

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageGivenUp:
    """The oldest message was not acknowledged.

    Args:
        octets: The message.
        reason: Why.
        acknowledged: Blocks that the peer has.
        blocks: Blocks that it has in all.
    """

    octets: bytes = field(repr=False)
    reason: GiveUpReason
    acknowledged: int
    blocks: int


@dataclass(frozen=True, slots=True)
class AssemblyAbandoned:
    """A message that was being put together will not be whole.

    Args:
        routing: Which it was.
        reason: Why.
        received: Blocks that were there.
    """

    routing: RoutingHeader
    reason: GiveUpReason
    received: int


@dataclass(frozen=True, slots=True)
class BlockRefused:
    """A block was not acted upon.

    Args:
        error: Why not.
    """

    error: RemoteProtocolError


BlockEvent = MessageAssembled | MessageDelivered | MessageGivenUp | AssemblyAbandoned | BlockRefused


def needs_block_transfer(octets: bytes) -> bool:
    """True if a message is too long to travel whole."""
    return len(octets) > smart_energy_assumptions.BLOCK_TRANSFER_THRESHOLD_OCTETS


# Theory of operation.
#
# The sender's blocks stand in one row: those up to `acknowledged` are with the receiver, without
# a gap; the next `window` of them are out; the rest wait. All but the last of a window say
# "streaming", so the turn passes with the last, and `deadline` is set exactly while an
# acknowledgement is waited for: nothing more goes out until it comes or is overdue. Either way
# the next window begins behind `acknowledged`, and repeats blocks that the receiver may hold
# already.
#
# An acknowledgement has a number of its own. One that tells nothing new and is not numbered
# beyond the last is late or came twice, and is passed over; if each such one let a window go
# out, a single doubled frame would double all that follow. `attempts` counts the windows since
# the last progress and ends the transfer, whatever the peer answers.
#
# The receiver keeps blocks by number, in any order, and acknowledges up to the first gap. A block
# that came before must be the same; other data under its number is refused, save that block 1
# with other data begins the message anew, as a sender does that was restarted. A message is whole
# when no gap is left before the block marked last. It is then handed up once, its blocks are
# dropped, and its header is remembered for as long as an unfinished one would be, or until its
# place is needed: if the last acknowledgement was lost, the blocks that come again are
# acknowledged, and not assembled twice.
#
# The routing header (originator, recipient, counter, kind, use case) says which message a block
# belongs to. The number of messages, of blocks and of octets is bounded, so that what a peer
# sends cannot take more memory than the limits say.


class _Sending:
    """One message on its way out."""

    def __init__(self, octets: bytes, routing: RoutingHeader, limits: BlockTransferLimits) -> None:
        self.octets = octets
        self.routing = routing
        self.deadline: float | None = None
        self.acknowledged = 0
        self._limits = limits
        self._window = limits.window
        self._sent = 0
        self._attempts = 0
        self._last_acknowledgement = 0

    @property
    def blocks(self) -> int:
        return -(-len(self.octets) // self._limits.block_octets)

    def take(self, now: float) -> list[Block]:
        """Return the window of blocks that may go now; they count as sent."""
        if self.deadline is not None:
            return []
        self.deadline = now + self._limits.timeout_s
        self._attempts += 1
        end = min(self.acknowledged + self._window, self.blocks)
        self._sent = max(self._sent, end)
        return [
            self._block(number, ends_window=number == end)
            for number in range(self.acknowledged + 1, end + 1)
        ]

    def _block(self, number: int, *, ends_window: bool) -> Block:
        size = self._limits.block_octets
        return Block(
            number=number,
            acknowledged=self._last_acknowledgement,
            data=self.octets[(number - 1) * size : number * size],
            is_last=number == self.blocks,
            streaming=not ends_window,
            window=self._limits.window,
        )

    def acknowledge(self, block: Block) -> GiveUpReason | None:
        """Process an acknowledgement; what it leaves open goes out with the next `take`.

        Raises:
            SequenceError: It acknowledges what was not sent.
        """
        if block.acknowledged > self._sent:
            raise SequenceError(
                f"block {block.acknowledged} is acknowledged and {self._sent} were sent",
                layer=LAYER,
                field="block number acknowledged",
                clause=CLAUSE,
            )
        progress = block.acknowledged - self.acknowledged
        if progress < 0 or (progress == 0 and block.number <= self._last_acknowledgement):
            return None  # It is late or came twice.
        self._last_acknowledgement = max(block.number, self._last_acknowledgement)
        if progress:
            self._attempts = 0
        self.acknowledged = block.acknowledged
        self._window = max(1, min(self._limits.window, block.window))
        self.deadline = None
        return GiveUpReason.NO_PROGRESS if self._attempts >= self._limits.attempts else None

    def overdue(self, now: float) -> GiveUpReason | None:
        """Mark the window to be sent again if its acknowledgement is overdue."""
        if self.deadline is None or now < self.deadline:
            return None
        self.deadline = None
        return GiveUpReason.NO_ANSWER if self._attempts >= self._limits.attempts else None


class _Receiving:
    """One message coming in, or come in."""

    def __init__(self, routing: RoutingHeader, limits: BlockTransferLimits) -> None:
        self.routing = routing
        self.deadline = 0.0
        self.is_finished = False
        self.owes_acknowledgement = False
        self._limits = limits
        self._blocks: dict[int, bytes] = {}
        self._octets = 0
        self._in_sequence = 0
        self._last_number: int | None = None
        self._acknowledgements = 0

    @property
    def received(self) -> int:
        return len(self._blocks)

    @property
    def is_too_long(self) -> bool:
        return self._octets > self._limits.message_octets

    def take(self, block: Block, now: float) -> bytes | None:
        """Process one block; return the message if this block completes it.

        Raises:
            SequenceError: It does not go with the others.
        """
        self.owes_acknowledgement |= not block.streaming or block.is_last
        if self.is_finished:
            return None
        if block.number == 1 and self._blocks.get(1, block.data) != block.data:
            self._start_again()
        self._check(block)
        self.deadline = now + self._limits.receive_timeout_s
        if block.is_last:
            self._last_number = block.number
        if block.number not in self._blocks:
            self._blocks[block.number] = block.data
            self._octets += len(block.data)
        while self._in_sequence + 1 in self._blocks:
            self._in_sequence += 1
        if self._in_sequence != self._last_number or self.is_too_long:
            return None
        self.is_finished = True
        octets = b"".join(self._blocks[number] for number in range(1, self._in_sequence + 1))
        self._blocks.clear()
        return octets

    def _start_again(self) -> None:
        """The sender cuts the message anew, as after a restart."""
        self._blocks.clear()
        self._octets = self._in_sequence = 0
        self._last_number = None

    def _check(self, block: Block) -> None:
        reason = ""
        if self._blocks.get(block.number, block.data) != block.data:
            reason = f"block {block.number} came before with other data"
        elif self._last_number is not None and (
            block.number > self._last_number
            or (block.is_last and block.number != self._last_number)
        ):
            reason = f"block {block.number} comes when {self._last_number} is the last"
        elif block.is_last and max(self._blocks, default=0) > block.number:
            reason = f"block {block.number} is the last and a later one came before"
        if reason:
            raise SequenceError(reason, layer=LAYER, field="block number", clause=CLAUSE)

    def acknowledgement(self) -> Block:
        """Return the acknowledgement of the blocks received without a gap."""
        self.owes_acknowledgement = False
        self._acknowledgements += 1
        return Block(
            number=self._acknowledgements & 0xFFFF or 1,
            acknowledged=self._in_sequence,
            data=b"",
            is_last=smart_energy_assumptions.ACKNOWLEDGEMENT_IS_LAST,
            streaming=False,
            window=self._limits.window,
        )


class BlockTransfer:
    """One end between which long messages go in blocks; both ends are alike.

    What `data_to_send` gives goes through a tunnel, or a GSME's exchange, one by one; what comes
    out there and `is_block` goes to `receive_data`. Messages go out one after the other.
    `now` is monotonic seconds.

    Args:
        limits: How messages are cut, and how long for what is waited; a GSME, which acknowledges
            only when it wakes, needs longer times.
    """

    def __init__(self, *, limits: BlockTransferLimits = _DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._sending: deque[_Sending] = deque()
        self._receiving: dict[RoutingHeader, _Receiving] = {}
        self._events: deque[BlockEvent] = deque()

    @property
    def unacknowledged(self) -> tuple[bytes, ...]:
        """Messages not yet acknowledged, oldest first."""
        return tuple(each.octets for each in self._sending)

    def send_message(self, octets: bytes, routing: RoutingHeader | None = None) -> None:
        """Queue one whole GBCS message.

        `MessageDelivered` or `MessageGivenUp` tells what became of it, in order.

        Args:
            octets: The message.
            routing: What its blocks say it is; by default what it says itself.

        Raises:
            LocalProtocolError: It is none, or too long, or too many wait.
        """
        if not octets:
            raise LocalProtocolError("a message of no octets")
        try:
            routing = routing or RoutingHeader.of_message(octets)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"no message to cut into blocks: {error}") from error
        sending = _Sending(bytes(octets), routing, self._limits)
        if (
            len(octets) > self._limits.message_octets
            or sending.blocks > self._limits.number_maximum
        ):
            raise LocalProtocolError(
                f"a message of {len(octets)} octets is too long for blocks of "
                f"{self._limits.block_octets}"
            )
        if len(self._sending) >= smart_energy_assumptions.TUNNEL_QUEUE_LIMIT:
            raise LocalProtocolError(
                f"{smart_energy_assumptions.TUNNEL_QUEUE_LIMIT} messages wait already"
            )
        self._sending.append(sending)

    def withdraw(self, octets: bytes) -> bool:
        """Stop sending a message, as when its response has come; return whether it was there."""
        for each in self._sending:
            if each.octets == octets:
                self._sending.remove(each)
                return True
        return False

    def receive_data(self, octets: bytes, now: float) -> None:
        """Receive one block as it came; whatever the octets, nothing is raised."""
        try:
            routing, block = decode_routed_block(octets)
            if block.is_acknowledgement:
                self._receive_acknowledgement(routing, block)
            else:
                self._receive_block(routing, block, now)
        except RemoteProtocolError as error:
            self._events.append(BlockRefused(error))

    def next_event(self) -> BlockEvent | NeedData:
        """Return the next event; nothing is raised."""
        return self._events.popleft() if self._events else NEED_DATA

    def data_to_send(self, now: float) -> list[bytes]:
        """Return the blocks to send now, each for one transfer of data; they count as sent."""
        found = []
        for receiving in self._receiving.values():
            if receiving.owes_acknowledgement:
                routing = receiving.routing
                if smart_energy_assumptions.ACKNOWLEDGEMENT_SWAPS_PARTIES:
                    routing = routing.swapped()
                found.append(encode_routed_block(routing, receiving.acknowledgement()))
        if self._sending:
            sending = self._sending[0]
            found += [encode_routed_block(sending.routing, each) for each in sending.take(now)]
        return found

    def next_deadline(self) -> float | None:
        """Return the time at which `handle_deadline` is due, or None."""
        deadlines = [each.deadline for each in self._receiving.values()]
        if self._sending and self._sending[0].deadline is not None:
            deadlines.append(self._sending[0].deadline)
        return min(deadlines, default=None)

    def handle_deadline(self, now: float) -> None:
        """Handle whatever is due at `now`."""
        if self._sending:
            self._give_up(self._sending[0].overdue(now))
        for routing in [r for r, each in self._receiving.items() if now >= each.deadline]:
            receiving = self._receiving.pop(routing)
            if not receiving.is_finished:
                self._abandon(receiving, GiveUpReason.NO_BLOCK)

    def _give_up(self, reason: GiveUpReason | None) -> None:
        if reason is None:
            return
        sending = self._sending.popleft()
        self._events.append(
            MessageGivenUp(sending.octets, reason, sending.acknowledged, sending.blocks)
        )

    def _abandon(self, receiving: _Receiving, reason: GiveUpReason) -> None:
        self._events.append(AssemblyAbandoned(receiving.routing, reason, receiving.received))

    def _receive_acknowledgement(self, routing: RoutingHeader, block: Block) -> None:
        if not self._sending or self._sending[0].routing not in (routing, routing.swapped()):
            return  # It repeats one to a message that is settled.
        sending = self._sending[0]
        reason = sending.acknowledge(block)
        if sending.acknowledged == sending.blocks:
            self._sending.popleft()
            self._events.append(MessageDelivered(sending.octets))
        else:
            self._give_up(reason)

    def _receive_block(self, routing: RoutingHeader, block: Block, now: float) -> None:
        limits = self._limits
        if not 1 <= block.number <= limits.number_maximum:
            raise SequenceError(
                f"block {block.number} is not within 1 to {limits.number_maximum}",
                layer=LAYER,
                field="block number",
                clause=CLAUSE,
            )
        if len(block.data) > limits.block_octets:
            raise SequenceError(
                f"a block of {len(block.data)} octets, more than {limits.block_octets}",
                layer=LAYER,
                field="block data",
                clause=CLAUSE,
            )
        receiving = self._receiving.get(routing) or self._new(routing, now)
        octets = receiving.take(block, now)
        if octets is not None:
            self._events.append(MessageAssembled(octets, routing))
        elif receiving.is_too_long:
            del self._receiving[routing]
            self._abandon(receiving, GiveUpReason.TOO_LONG)

    def _new(self, routing: RoutingHeader, now: float) -> _Receiving:
        if len(self._receiving) >= self._limits.transfers:
            finished = next((r for r, each in self._receiving.items() if each.is_finished), None)
            if finished is None:
                raise SequenceError(
                    f"{self._limits.transfers} messages are being put together already",
                    layer=LAYER,
                    clause=CLAUSE,
                )
            del self._receiving[finished]
        receiving = self._receiving[routing] = _Receiving(routing, self._limits)
        receiving.deadline = now + self._limits.receive_timeout_s
        return receiving
