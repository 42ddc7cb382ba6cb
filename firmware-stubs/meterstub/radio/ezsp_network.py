"""Commands about the network: forming, joining, leaving, permitting, children, scans, its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bellows.types as t

from meterstub.radio.ezsp_handlers import (
    OK,
    Handler,
    eui64_number,
    eui64_value,
    failed,
    key_octets,
)
from meterstub.radio.zigbee_stack import COORDINATOR_ID, NetworkState, NodeType

if TYPE_CHECKING:
    from meterstub.radio.ezsp_handlers import Radio

FOREVER: Final = 0xFF
QUIET_DBM: Final = -90
CHANNELS: Final = range(11, 27)
LISTENS_ALWAYS: Final = (NodeType.COORDINATOR, NodeType.ROUTER)


def _network_state(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    is_up = radio.stack.is_up
    return {
        "status": t.EmberNetworkStatus.JOINED_NETWORK if is_up else t.EmberNetworkStatus.NO_NETWORK
    }


def _init(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments
    if radio.stack.is_up:
        return failed(t.EmberStatus.INVALID_CALL)
    if radio.stack.state is None:
        return failed(t.EmberStatus.NOT_JOINED)
    radio.stack.resume(now)
    return OK


def _form(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    security, wanted = radio.settings.security, arguments["parameters"]
    if radio.stack.is_up:
        return failed(t.EmberStatus.INVALID_CALL)
    if security is None:
        return failed(t.EmberStatus.SECURITY_STATE_NOT_SET)
    if int(wanted.radioChannel) not in CHANNELS:
        return failed(t.EmberStatus.PHY_INVALID_CHANNEL)
    network_key = key_octets(security.networkKey)
    if not security.bitmask & t.EmberInitialSecurityBitmask.HAVE_NETWORK_KEY:
        network_key = radio.random_octets(16)
    state = NetworkState(
        pan_id=int(wanted.panId),
        extended_pan_id=eui64_number(wanted.extendedPanId),
        channel=int(wanted.radioChannel),
        node_id=COORDINATOR_ID,
        node_type=NodeType.COORDINATOR,
        network_key=network_key,
        network_key_sequence=int(security.networkKeySequenceNumber),
        trust_centre=radio.kind.eui64,
        link_keys=dict(radio.settings.link_keys),
        radio_power=int(wanted.radioTxPower),
        frame_counter=radio.settings.frame_counter,
    )
    kept = radio.memory.kept
    kept.security = int(security.bitmask)
    kept.preconfigured_key = key_octets(security.preconfiguredKey)
    radio.stack.form(state, now)
    return OK


def _join(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    security, wanted = radio.settings.security, arguments["parameters"]
    if radio.stack.is_up:
        return failed(t.EmberStatus.INVALID_CALL)
    if security is None:
        return failed(t.EmberStatus.SECURITY_STATE_NOT_SET)
    radio.stack.join_key = key_octets(security.preconfiguredKey)
    radio.memory.kept.security = int(security.bitmask)
    radio.memory.kept.preconfigured_key = radio.stack.join_key
    extended_pan_id = eui64_number(wanted.extendedPanId)
    radio.stack.join(
        sleeps=int(arguments["nodeType"]) not in LISTENS_ALWAYS,
        now=now,
        extended_pan_id=extended_pan_id or None,
    )
    return OK


def _leave(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments
    if radio.stack.state is None:
        return failed(t.EmberStatus.INVALID_CALL)
    radio.stack.leave(now)
    return OK


def _permit(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    if not radio.stack.is_up:
        return failed(t.EmberStatus.INVALID_CALL)
    duration = int(arguments["duration"])
    radio.stack.permits_until = float("inf") if duration == FOREVER else now + duration
    is_open = duration > 0
    radio.call_back(
        "stackStatusHandler",
        status=t.EmberStatus.NETWORK_OPENED if is_open else t.EmberStatus.NETWORK_CLOSED,
    )
    return OK


def _parameters(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    state = radio.stack.state if radio.stack.is_up else None
    parameters = t.EmberNetworkParameters(
        extendedPanId=t.ExtendedPanId(_octets(state.extended_pan_id if state else 0)),
        panId=state.pan_id if state else 0xFFFF,
        radioTxPower=state.radio_power if state else 0,
        radioChannel=state.channel if state else 0,
        joinMethod=t.EmberJoinMethod.USE_MAC_ASSOCIATION,
        nwkManagerId=0,
        nwkUpdateId=state.update_id if state else 0,
        channels=t.Channels.from_channel_list([state.channel]) if state else t.Channels(0),
    )
    return {
        "status": t.EmberStatus.SUCCESS if state else t.EmberStatus.NOT_JOINED,
        "nodeType": int(state.node_type) if state else t.EmberNodeType.UNKNOWN_DEVICE,
        "parameters": parameters,
    }


def _octets(eui64: int) -> bytes:
    return eui64.to_bytes(8, "little")


def _node_id(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    state = radio.stack.state
    return {"nodeId": state.node_id if state is not None and radio.stack.is_up else 0xFFFE}


def _children(radio: Radio) -> list[tuple[int, int]]:
    state = radio.stack.state
    if state is None:
        return []
    return [
        (eui64, state.addresses[eui64]) for eui64 in sorted(state.sleepy & set(state.addresses))
    ]


def _child(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    children, index = _children(radio), int(arguments["index"])
    found = children[index] if index < len(children) else None
    eui64, node_id = found or (0, 0xFFFF)
    common = {
        "eui64": eui64_value(eui64),
        "type": t.EmberNodeType.SLEEPY_END_DEVICE,
        "id": node_id,
        "phy": 0,
        "power": 0,
        "timeout": 0,
    }
    status = t.EmberStatus.SUCCESS if found else t.EmberStatus.NOT_JOINED
    if radio.kind.version == 8:
        return {"status": status, "childData": t.EmberChildDataV7(**common)}
    child = t.EmberChildDataV10(**common, timeout_remaining=0)
    return {"status": status, "child_data": child}


def _set_child(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    state, child = radio.stack.state, arguments["child_data"]
    if state is None:
        return failed(t.EmberStatus.INVALID_CALL)
    eui64 = eui64_number(child.eui64)
    state.addresses[eui64] = int(child.id)
    state.sleepy.add(eui64)
    radio.save()
    return OK


def _remove(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    is_known = radio.stack.remove(eui64_number(arguments["destLong"]), now)
    return OK if is_known else failed(t.EmberStatus.ERR_FATAL)


def _scan(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    mask = int(arguments["channelMask"])
    channels = [channel for channel in CHANNELS if mask >> channel & 1]
    if int(arguments["scanType"]) == t.EzspNetworkScanType.ENERGY_SCAN:
        for channel in channels:
            radio.call_back("energyScanResultHandler", channel=channel, maxRssiValue=QUIET_DBM)
        radio.call_back("scanCompleteHandler", channel=0, status=t.EmberStatus.SUCCESS)
        return OK

    def tell(at: float) -> None:
        del at
        for beacon in radio.stack.found:
            if beacon.channel in channels:
                network = t.EmberZigbeeNetwork(
                    channel=beacon.channel,
                    panId=beacon.pan_id,
                    extendedPanId=t.ExtendedPanId(_octets(beacon.extended_pan_id)),
                    allowingJoin=beacon.permits_joining,
                    stackProfile=2,
                    nwkUpdateId=beacon.update_id,
                )
                radio.call_back(
                    "networkFoundHandler", networkFound=network, lastHopLqi=255, lastHopRssi=-40
                )
        radio.call_back("scanCompleteHandler", channel=0, status=t.EmberStatus.SUCCESS)

    radio.stack.scan(now, tell)
    return OK


def _next_key(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    if not radio.stack.is_coordinator:
        return failed(t.EmberStatus.INVALID_CALL)
    key = key_octets(arguments["key"])
    radio.stack.announce_key(key if any(key) else radio.random_octets(16), now)
    radio.save()
    return OK


def _switch_key(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments
    return OK if radio.stack.switch_key(now) else failed(t.EmberStatus.INVALID_CALL)


HANDLERS: Final[dict[str, Handler]] = {
    "networkState": _network_state,
    "networkInit": _init,
    "formNetwork": _form,
    "joinNetwork": _join,
    "leaveNetwork": _leave,
    "permitJoining": _permit,
    "getNetworkParameters": _parameters,
    "getNodeId": _node_id,
    "getChildData": _child,
    "setChildData": _set_child,
    "removeDevice": _remove,
    "startScan": _scan,
    "broadcastNextNetworkKey": _next_key,
    "broadcastNetworkKeySwitch": _switch_key,
}
