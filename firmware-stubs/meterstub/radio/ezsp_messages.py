"""Commands about messages: unicasts with their acknowledgements and blocks, broadcasts, raw frames.

Blocks of a long message are the host's affair: the radio sends each that it is given, and leaves
the acknowledging of those that come to the host. The group field of the APS frame has the number
of blocks above and that of this block below.

Source: Silicon Labs UG100, sendUnicast, sendReply and incomingMessageHandler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bellows.types as t

from meterstub.radio import zdo_answers
from meterstub.radio.ezsp_handlers import OK, Handler, failed
from meterstub.radio.radio_packets import APSFrame, RawFrame, payload_maximum
from meterstub.radio.zigbee_stack import COORDINATOR_ID

if TYPE_CHECKING:
    from meterstub.radio.ezsp_handlers import Radio
    from meterstub.radio.zigbee_stack import Incoming

NO_INDEX: Final = 0xFF
LQI: Final = 255
RSSI: Final = -40
BLOCKS_LIMIT: Final = 64
ZDO_PROFILE: Final = 0x0000
DESTINATION_OFFSET: Final = 5
_OPTION: Final = t.EmberApsOption


def _send_unicast(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    aps, payload = arguments["apsFrame"], bytes(arguments["messageContents"])
    destination, tag = int(arguments["indexOrDestination"]), int(arguments["messageTag"])
    options = aps.options
    is_encrypted, is_block = bool(options & _OPTION.APS_OPTION_ENCRYPTION), _is_block(aps)
    if not radio.stack.is_up:
        return {"status": t.EmberStatus.NOT_JOINED, "sequence": 0}
    if len(payload) > payload_maximum(is_encrypted=is_encrypted, in_blocks=is_block):
        return {"status": t.EmberStatus.MESSAGE_TOO_LONG, "sequence": 0}
    block = (aps.groupId & 0xFF, aps.groupId >> 8) if is_block else None
    is_continued = block is not None and block[0] > 0
    counter = int(aps.sequence) if is_continued else radio.stack.next_counter()
    frame = APSFrame(
        int(aps.profileId),
        int(aps.clusterId),
        int(aps.sourceEndpoint),
        int(aps.destinationEndpoint),
        counter,
        payload,
        bool(options & _OPTION.APS_OPTION_RETRY),
        block,
    )
    sent = aps.replace(sequence=counter)

    def on_sent(is_delivered: bool, at: float) -> None:  # noqa: FBT001 - the callback's form
        del at
        radio.call_back(
            "messageSentHandler",
            type=arguments["type"],
            indexOrDestination=destination,
            apsFrame=sent,
            messageTag=tag,
            status=t.EmberStatus.SUCCESS if is_delivered else t.EmberStatus.DELIVERY_FAILED,
            messageContents=b"",
        )

    state = radio.stack.state
    assert state is not None
    if destination == state.node_id:
        radio.air.call_at(now, lambda at: _to_itself(radio, frame, on_sent, at))
    elif not radio.stack.send_aps(destination, frame, now, on_sent, is_encrypted=is_encrypted):
        radio.air.call_at(now, lambda at: on_sent(False, at))
    return {**OK, "sequence": counter}


def _is_block(aps: Any) -> bool:
    return bool(aps.options & _OPTION.APS_OPTION_FRAGMENT)


def _to_itself(radio: Radio, frame: APSFrame, on_sent: Any, now: float) -> None:
    on_sent(True, now)
    assert isinstance(frame.payload, bytes)
    found = zdo_answers.answer(frame.cluster, frame.payload, radio.facts())
    if found is not None:
        answer = t.EmberApsFrame(
            profileId=ZDO_PROFILE,
            clusterId=found[0],
            sourceEndpoint=0,
            destinationEndpoint=0,
            options=_OPTION.APS_OPTION_NONE,
            groupId=0,
            sequence=frame.counter,
        )
        _tell(radio, answer, COORDINATOR_ID, found[1], is_broadcast=False)


def _send_broadcast(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    aps, payload = arguments["apsFrame"], bytes(arguments["messageContents"])
    if not radio.stack.is_up:
        return {"status": t.EmberStatus.NOT_JOINED, "sequence": 0}
    counter = radio.stack.next_counter()
    frame = APSFrame(
        int(aps.profileId),
        int(aps.clusterId),
        int(aps.sourceEndpoint),
        int(aps.destinationEndpoint),
        counter,
        payload,
        wants_acknowledgement=False,
    )
    radio.stack.broadcast_aps(frame, now)
    return {**OK, "sequence": counter}


def _send_reply(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    """Acknowledge a block; replies to anything else have nothing to be sent with."""
    aps = arguments["apsFrame"]
    key = (int(arguments["sender"]), int(aps.sequence), int(aps.groupId) & 0xFF)
    incoming = radio.blocks.get(key)
    if incoming is None:
        return failed(t.EmberStatus.INVALID_CALL)
    radio.stack.acknowledge(incoming, now)
    return OK


def _send_raw(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    """Send a MAC frame with a long destination address behind its PAN, as inter-PAN ones have."""
    octets = bytes(arguments["messageContents"])
    destination = int.from_bytes(octets[DESTINATION_OFFSET : DESTINATION_OFFSET + 8], "little")
    state = radio.stack.state
    frame = RawFrame(octets, state.pan_id if state else 0xFFFF)
    radio.stack.send_raw(frame, destination, now)
    radio.call_back("rawTransmitCompleteHandler", status=t.EmberStatus.SUCCESS)
    return OK


def deliver(radio: Radio, message: Incoming, now: float) -> None:
    """Pass what came to the host, or answer it where the radio's firmware does."""
    frame = message.frame
    if frame.profile == ZDO_PROFILE and _answer_zdo(radio, message, now) and not _hears_zdo(radio):
        return
    options = _OPTION.APS_OPTION_NONE
    if message.is_encrypted:
        options |= _OPTION.APS_OPTION_ENCRYPTION
    group = 0
    if frame.block is not None:
        options |= _OPTION.APS_OPTION_FRAGMENT | _OPTION.APS_OPTION_RETRY
        group = frame.block[1] << 8 | frame.block[0]
        radio.blocks[(message.sender_id, frame.counter, frame.block[0])] = message
        while len(radio.blocks) > BLOCKS_LIMIT:
            del radio.blocks[next(iter(radio.blocks))]
    aps = t.EmberApsFrame(
        profileId=frame.profile,
        clusterId=frame.cluster,
        sourceEndpoint=frame.source_endpoint,
        destinationEndpoint=frame.destination_endpoint,
        options=options,
        groupId=group,
        sequence=frame.counter,
    )
    _tell(radio, aps, message.sender_id, message.payload, is_broadcast=message.is_broadcast)


def _hears_zdo(radio: Radio) -> bool:
    """True if the host is to hear of questions that the firmware answers."""
    flags = radio.settings.configuration.get(int(t.EzspConfigId.CONFIG_APPLICATION_ZDO_FLAGS), 0)
    return bool(flags & t.EmberZdoConfigurationFlags.APP_RECEIVES_SUPPORTED_ZDO_REQUESTS)


def _tell(radio: Radio, aps: Any, sender: int, payload: bytes, *, is_broadcast: bool) -> None:
    kind = t.EmberIncomingMessageType.INCOMING_UNICAST
    if is_broadcast:
        kind = t.EmberIncomingMessageType.INCOMING_BROADCAST
    radio.call_back(
        "incomingMessageHandler",
        type=kind,
        apsFrame=aps,
        lastHopLqi=LQI,
        lastHopRssi=RSSI,
        sender=sender,
        bindingIndex=NO_INDEX,
        addressIndex=NO_INDEX,
        messageContents=payload,
    )


def _answer_zdo(radio: Radio, message: Incoming, now: float) -> bool:
    """Answer a question to the radio; what is no question goes to the host."""
    found = zdo_answers.answer(message.frame.cluster, message.payload, radio.facts())
    if found is None:
        return False
    frame = APSFrame(
        ZDO_PROFILE,
        found[0],
        0,
        0,
        radio.stack.next_counter(),
        found[1],
        wants_acknowledgement=True,
    )
    radio.stack.send_aps(message.sender_id, frame, now, _ignored)
    return True


def _ignored(is_delivered: bool, at: float) -> None:  # noqa: FBT001 - the callback's form
    del is_delivered, at


HANDLERS: Final[dict[str, Handler]] = {
    "sendUnicast": _send_unicast,
    "sendBroadcast": _send_broadcast,
    "sendReply": _send_reply,
    "sendRawMessage": _send_raw,
}
