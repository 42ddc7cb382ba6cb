"""The states of a link and the frames that move it, the same for both ends."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from gbcs.protocol_errors import LocalProtocolError
from meterlink.hdlc.hdlc_frames import FrameKind

if TYPE_CHECKING:
    from collections.abc import Mapping


class LinkState(enum.Enum):
    """State of a link."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTING = "disconnecting"
    REJECTED = "rejected"


class Direction(enum.Enum):
    """Which way a frame goes, seen from this end."""

    SENT = "sent"
    RECEIVED = "received"


class Lapse(enum.Enum):
    """Events that move a link without a frame."""

    NO_RESPONSE = "no response after the last retry"
    INACTIVITY = "inactivity time-out"
    VIOLATION = "the peer broke the protocol"


Step = tuple[Direction, FrameKind] | Lapse

_S: Final = Direction.SENT
_R: Final = Direction.RECEIVED
_EXCHANGED: Final = (FrameKind.I, FrameKind.RR, FrameKind.RNR, FrameKind.REJ, FrameKind.UI)

# Theory of operation.
#
# The link runs in normal response mode, two-way alternate: the primary station (the agent) has
# the line, passes the turn with the P bit of its last frame, and gets it back with the F bit of
# the secondary's (the device's) last frame. Three things move a link: a U frame sent, a U frame
# received, and a lapse. I, RR, RNR, REJ and UI leave the state as it is; they are in the table
# because some states allow them and others do not.
#
# One table serves both ends. A row holds what either role may do in that state; which kinds a
# role may receive at all is in COMMANDS and RESPONSES. So "never for this station" and "not now"
# stay two refusals.
#
# What always holds:
#
# - A step that is not in the table changes nothing. `follow` raises before a frame is encoded,
#   or before a received one is looked into: on sending that is the caller's mistake, on receiving
#   the frame is refused and the link goes on.
# - Every way into CONNECTED, a repeated SNRM too, sets both windows to zero, so that V(S), V(R)
#   and V(A) begin equal at both ends. An SNRM or UA whose parameters cannot be read does not
#   connect.
# - REJECTED is left by SNRM, DISC, DM or a lapse, never by a numbered frame: after a violation
#   the two ends disagree about sequence numbers, and only a new connection makes them agree. The
#   secondary station answers every poll with the same FRMR until then.
# - CONNECTING and DISCONNECTING wait for an answer, and NO_RESPONSE ends both.

TRANSITIONS: Final[Mapping[LinkState, Mapping[Step, LinkState]]] = {
    LinkState.DISCONNECTED: {
        (_S, FrameKind.SNRM): LinkState.CONNECTING,
        (_R, FrameKind.SNRM): LinkState.CONNECTED,
        (_R, FrameKind.DISC): LinkState.DISCONNECTED,
        (_S, FrameKind.UA): LinkState.DISCONNECTED,
        (_S, FrameKind.DM): LinkState.DISCONNECTED,
        (_R, FrameKind.DM): LinkState.DISCONNECTED,
        (_R, FrameKind.UI): LinkState.DISCONNECTED,
    },
    LinkState.CONNECTING: {
        (_S, FrameKind.SNRM): LinkState.CONNECTING,
        (_R, FrameKind.UA): LinkState.CONNECTED,
        (_R, FrameKind.DM): LinkState.DISCONNECTED,
        (_S, FrameKind.DISC): LinkState.DISCONNECTING,
        Lapse.NO_RESPONSE: LinkState.DISCONNECTED,
        Lapse.VIOLATION: LinkState.REJECTED,
    },
    LinkState.CONNECTED: {
        **{(_S, kind): LinkState.CONNECTED for kind in _EXCHANGED},
        **{(_R, kind): LinkState.CONNECTED for kind in _EXCHANGED},
        (_R, FrameKind.SNRM): LinkState.CONNECTED,
        (_S, FrameKind.UA): LinkState.CONNECTED,
        (_S, FrameKind.DISC): LinkState.DISCONNECTING,
        (_R, FrameKind.DISC): LinkState.DISCONNECTED,
        (_R, FrameKind.DM): LinkState.DISCONNECTED,
        (_R, FrameKind.FRMR): LinkState.REJECTED,
        Lapse.NO_RESPONSE: LinkState.DISCONNECTED,
        Lapse.INACTIVITY: LinkState.DISCONNECTED,
        Lapse.VIOLATION: LinkState.REJECTED,
    },
    LinkState.DISCONNECTING: {
        (_S, FrameKind.DISC): LinkState.DISCONNECTING,
        (_R, FrameKind.UA): LinkState.DISCONNECTED,
        (_R, FrameKind.DM): LinkState.DISCONNECTED,
        Lapse.NO_RESPONSE: LinkState.DISCONNECTED,
    },
    LinkState.REJECTED: {
        **{(_R, kind): LinkState.REJECTED for kind in _EXCHANGED},
        (_S, FrameKind.FRMR): LinkState.REJECTED,
        (_R, FrameKind.FRMR): LinkState.REJECTED,
        (_S, FrameKind.SNRM): LinkState.CONNECTING,
        (_R, FrameKind.SNRM): LinkState.CONNECTED,
        (_S, FrameKind.DISC): LinkState.DISCONNECTING,
        (_R, FrameKind.DISC): LinkState.DISCONNECTED,
        (_R, FrameKind.DM): LinkState.DISCONNECTED,
        Lapse.NO_RESPONSE: LinkState.DISCONNECTED,
        Lapse.INACTIVITY: LinkState.DISCONNECTED,
    },
}

COMMANDS: Final = frozenset({FrameKind.SNRM, FrameKind.DISC, *_EXCHANGED})
"""What a primary station sends. Source: IEC 62056-46, 6.4.3.1."""
RESPONSES: Final = frozenset({FrameKind.UA, FrameKind.DM, FrameKind.FRMR, *_EXCHANGED})
"""What a secondary station sends. Source: IEC 62056-46, 6.4.3.1."""


def follow(state: LinkState, step: Step) -> LinkState:
    """Return the state that follows `state`.

    Raises:
        LocalProtocolError: `step` is not allowed in `state`; the receive path turns it into a
            refusal of the frame.

    Source: IEC 62056-46, 6.4.4; ISO/IEC 13239, 6.11.
    """
    try:
        return TRANSITIONS[state][step]
    except KeyError:
        what = step.value if isinstance(step, Lapse) else f"{step[1].name} {step[0].value}"
        raise LocalProtocolError(f"{what}: not allowed while {state.value}") from None
