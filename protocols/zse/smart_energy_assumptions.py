"""Choices where no text at hand confirms ZSE or GBCS: one name each, to be changed here alone."""

from __future__ import annotations

from typing import Final

# Tunnels: GBCS 10.2.2, ZSE D.6.

RESPONSE_TIMEOUT_S: Final = 10.0
"""How long the answer to RequestTunnel, CloseTunnel or TransferData is waited for.

Seconds; longer than the APS retries that the radio makes by itself."""

NO_ANSWER_RETRY_S: Final = 180.0
"""How long after an unanswered RequestTunnel the next one goes out; as after Busy."""

EXHAUSTED_RETRY_S: Final = 180.0
"""How long to wait where No More Tunnel IDs comes although nothing is left to close."""

TRANSFER_ATTEMPTS: Final = 3
"""How often one message is handed to a tunnel that turns out to be none."""

TUNNEL_QUEUE_LIMIT: Final = 64
"""Messages that may wait for a tunnel."""

REOPENS_AT_ONCE: Final = True
"""Whether a client that learns that its tunnel is gone asks for another without a message waiting.

A device can tell of an alert only through a tunnel; GBCS's triggers name the waiting message."""

SERVER_TUNNELS: Final = 1
"""Tunnels that an emulated device keeps at once."""

SERVER_REUSES_TUNNEL: Final = True
"""Whether a client that asks again for the tunnel it has is given the same TunnelID.

ZSE does not say; otherwise a device with one tunnel answers No More Tunnel IDs until that
one is closed."""

CLOSE_TUNNEL_TIMEOUT_S: Final = 0xFFFF
"""CloseTunnelTimeout of an emulated device: seconds without data until a tunnel is closed."""

SERVER_NOTIFIES_CLOSURE: Final = False
"""Whether a device tells of a tunnel that it closes; the command is optional in ZSE."""

# APS.

APS_BLOCK_OCTETS: Final = 61
"""The payload of one block of a long APS message; the hub emulator's figure."""

# The exchange with a GSME: GBCS 10.2.2.2, 10.3.

GSME_MESSAGE_LIFETIME_S: Final = 24 * 3600.0
"""How long a hub keeps a message that the GSME does not retrieve, before alert 0x819D."""

GSME_QUEUE_LIMIT: Final = 64
"""Messages that a hub keeps for a GSME."""

FLAG_CLEARED_ON_DELIVERY: Final = True
"""Whether Tunnel Message Pending goes out once the last message is delivered.

Otherwise it goes out when the last GET-RESPONSE is composed. Either way the flag is off when
nothing waits."""

GET_RESPONSE_TIMEOUT_S: Final = 10.0
"""How long a GSME stays awake for a GET-RESPONSE."""

GET_ATTEMPTS: Final = 3
"""How often a GSME sends GET before it sleeps and leaves the rest for its next wake."""

# General block transfer: GBCS 7.2.11, DLMS UA 1000-2.

BLOCK_TRANSFER_THRESHOLD_OCTETS: Final = 1200
"""The longest message that travels whole; a longer one goes in blocks."""

BLOCK_DATA_OCTETS: Final = 1200
"""The longest block data, sent and accepted; the dissectors' and hub emulator's limit."""

BLOCK_NUMBER_MAXIMUM: Final = 255
"""The highest block number; what the parsers take for sane."""

BLOCK_WINDOW: Final = 6
"""Blocks that are sent, and asked for, before an acknowledgement; at most 63."""

BLOCK_TIMEOUT_S: Final = 30.0
"""How long an acknowledgement is waited for before the blocks go out again."""

BLOCK_ATTEMPTS: Final = 4
"""How often a window goes out without progress before the transfer is given up."""

BLOCK_RECEIVE_TIMEOUT_S: Final = 300.0
"""How long an unfinished message is kept without a new block, and a finished one remembered."""

BLOCK_MESSAGE_OCTETS_LIMIT: Final = 65_535
"""The longest message that is put together; the longest that `gbcs` reads."""

BLOCK_TRANSFERS_LIMIT: Final = 8
"""Messages that are put together at once."""

ACKNOWLEDGEMENT_IS_LAST: Final = True
"""Whether a block without data has the last-block bit; gurux_dlms sets it."""

ACKNOWLEDGEMENT_SWAPS_PARTIES: Final = True
"""Whether an acknowledgement's routing header names its own sender as originator.

CRA flag, counter and Message Code stay those of the message. Both forms are accepted."""

# Key establishment: ZSE annex C.

IDENTITY_ISSUER_OFFSET: Final = 11
"""Where the issuer stands in an implicit certificate of suite 2.

Behind type, serial number (8 octets), curve and hash; 8 octets, most significant first."""

IDENTITY_SUBJECT_OFFSET: Final = 28
"""Where the subject stands there: behind the issuer, the time from (5 octets) and the span (4)."""

KEY_ESTABLISHMENT_MARGIN_S: Final = 10.0
"""What is added to the times a partner states; both stacks that were read add ten seconds."""

EPHEMERAL_DATA_GENERATE_TIME_S: Final = 20
"""The time that this end states for its ephemeral key, whole seconds."""

CONFIRM_KEY_GENERATE_TIME_S: Final = 20
"""The time that this end states for the shared secret, whole seconds."""

TERMINATE_WAIT_TIME_S: Final = 30
"""The WaitTime of the Terminates that this end sends, whole seconds."""

FAILURE_WAIT_TIME_S: Final = 10.0
"""How long this end itself waits after a failure for which its partner named no time."""

TERMINATES_ON_TIMEOUT: Final = False
"""Whether a partner that fell silent is sent a Terminate; EmberZNet sends none."""

# The handheld terminal: GBCS 10.4 (the normative text is not at hand).

INTER_PAN_WINDOW_S: Final = 3600.0
"""How long after its power-on a hub takes inter-PAN messages; the informative text says 60 min."""

REGISTRATION_CLUSTER: Final = 0x0708
"""The cluster under which a handheld terminal hands in its identifier and install code."""

REGISTRATION_REQUEST: Final = 0x01
"""The first octet of that message; Entity Identifier and install code follow."""

REGISTRATION_RESPONSE: Final = 0x02
"""The first octet of the hub's answer; a status follows, 0 for success."""

INTER_PAN_SECURITY_CONTROL: Final = 0x05
"""Of a secured inter-PAN message: encrypted, 32-bit integrity code, by the link key."""

INTER_PAN_IS_KEYED_ANEW: Final = True
"""Whether keys are established once more in the network; the informative text says so."""

HANDHELD_NODE_TYPE_SLEEPS: Final = False
"""Whether a handheld terminal joins as a node that sleeps."""
