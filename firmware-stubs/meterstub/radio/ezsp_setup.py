"""Commands about the radio itself: configuration, values, tokens, endpoints, tables, counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bellows.types as t

from meterstub.radio.ezsp_handlers import OK, Handler, eui64_number, eui64_value, failed
from meterstub.radio.radio_packets import payload_maximum
from meterstub.radio.zdo_answers import EndpointDescription
from meterstub.radio.zigbee_stack import NO_NODE_ID, JoinPolicy

if TYPE_CHECKING:
    from meterstub.radio.ezsp_handlers import Radio

BUILD: Final = 0
RELEASES: Final = {8: (6, 7, 10, 0), 13: (7, 4, 1, 0)}
CONFIGURATION: Final = {
    int(t.EzspConfigId.CONFIG_PACKET_BUFFER_COUNT): 64,
    int(t.EzspConfigId.CONFIG_NEIGHBOR_TABLE_SIZE): 16,
    int(t.EzspConfigId.CONFIG_APS_UNICAST_MESSAGE_COUNT): 10,
    int(t.EzspConfigId.CONFIG_ADDRESS_TABLE_SIZE): 16,
    int(t.EzspConfigId.CONFIG_MULTICAST_TABLE_SIZE): 16,
    int(t.EzspConfigId.CONFIG_STACK_PROFILE): 2,
    int(t.EzspConfigId.CONFIG_SECURITY_LEVEL): 5,
    int(t.EzspConfigId.CONFIG_MAX_END_DEVICE_CHILDREN): 32,
    int(t.EzspConfigId.CONFIG_KEY_TABLE_SIZE): 16,
    int(t.EzspConfigId.CONFIG_FRAGMENT_WINDOW_SIZE): 1,
    int(t.EzspConfigId.CONFIG_FRAGMENT_DELAY_MS): 50,
    int(t.EzspConfigId.CONFIG_SUPPORTED_NETWORKS): 1,
}
TOKENS: Final = {
    int(t.EzspMfgTokenId.MFG_STRING): b"keyrig".ljust(16, b"\xff"),
    int(t.EzspMfgTokenId.MFG_BOARD_NAME): b"emulated radio".ljust(16, b"\xff"),
    int(t.EzspMfgTokenId.MFG_MANUF_ID): b"\x49\x10",
    int(t.EzspMfgTokenId.MFG_CUSTOM_EUI_64): b"\xff" * 8,
}
FREE_BUFFERS: Final = 200
COUNTERS: Final = len(t.EmberCounterType)
TRUST_CENTRE_POLICY: Final = int(t.EzspPolicyId.TRUST_CENTER_POLICY)


def table_size(radio: Radio, config: t.EzspConfigId) -> int:
    """Return how many entries one of the radio's tables has."""
    return radio.settings.configuration.get(int(config), CONFIGURATION[int(config)])


def _get_configuration(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    number = int(arguments["configId"])
    value = radio.settings.configuration.get(number, CONFIGURATION.get(number))
    if value is None:
        return {"status": t.EzspStatus.ERROR_INVALID_ID, "value": 0}
    return {"status": t.EzspStatus.SUCCESS, "value": value}


def _set_configuration(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    if radio.stack.is_up:
        return failed(t.EzspStatus.ERROR_INVALID_CALL)
    radio.settings.configuration[int(arguments["configId"])] = int(arguments["value"])
    return failed(t.EzspStatus.SUCCESS)


def _get_value(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    number = int(arguments["valueId"])
    if number == t.EzspValueId.VALUE_VERSION_INFO:
        value = BUILD.to_bytes(2, "little") + bytes(RELEASES[radio.kind.version]) + b"\xaa"
    elif number == t.EzspValueId.VALUE_FREE_BUFFERS:
        value = bytes((FREE_BUFFERS,))
    elif number == t.EzspValueId.VALUE_NWK_FRAME_COUNTER:
        state = radio.stack.state
        value = (state.frame_counter if state else 0).to_bytes(4, "little")
    elif number in radio.settings.values:
        value = radio.settings.values[number]
    else:
        return {"status": t.EzspStatus.ERROR_INVALID_ID, "value": b""}
    return {"status": t.EzspStatus.SUCCESS, "value": value}


def _set_value(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    number, value = int(arguments["valueId"]), bytes(arguments["value"])
    radio.settings.values[number] = value
    if number == t.EzspValueId.VALUE_NWK_FRAME_COUNTER:
        radio.settings.frame_counter = int.from_bytes(value, "little")
    elif number == t.EzspValueId.VALUE_MAC_PASSTHROUGH_FLAGS:
        radio.stack.hears_raw = any(value)
    return failed(t.EzspStatus.SUCCESS)


def _set_policy(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    policy, decision = int(arguments["policyId"]), int(arguments["decisionId"])
    radio.settings.policies[policy] = decision
    if policy == TRUST_CENTRE_POLICY:
        radio.stack.policy = JoinPolicy(decision & int(_POLICY_BITS))
    return failed(t.EzspStatus.SUCCESS)


_POLICY_BITS: Final = (
    JoinPolicy.ALLOW_JOINS
    | JoinPolicy.ALLOW_UNSECURED_REJOINS
    | JoinPolicy.JOINS_USE_INSTALL_CODE_KEY
)


def _get_policy(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    decision = radio.settings.policies.get(int(arguments["policyId"]), 0)
    return {"status": t.EzspStatus.SUCCESS, "decisionId": decision}


def _add_endpoint(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    if radio.stack.is_up:
        return failed(t.EzspStatus.ERROR_INVALID_CALL)
    # bellows' table reads both lists as one, because EZSP puts the counts before them.
    count = int(arguments["inputClusterCount"])
    clusters = [int(each) for each in arguments["inputClusterList"]]
    clusters += [int(each) for each in arguments["outputClusterList"]]
    radio.settings.endpoints.append(
        EndpointDescription(
            int(arguments["endpoint"]),
            int(arguments["profileId"]),
            int(arguments["deviceId"]),
            tuple(clusters[:count]),
            tuple(clusters[count:]),
            int(arguments["deviceVersion"]),
        )
    )
    return failed(t.EzspStatus.SUCCESS)


def _get_token(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    number = int(arguments["tokenId"])
    return {"tokenData": radio.memory.kept.tokens.get(number, TOKENS.get(number, b""))}


def _set_token(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    radio.memory.kept.tokens[int(arguments["tokenId"])] = bytes(arguments["tokenData"])
    radio.memory.save()
    return OK


def _get_multicast(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    index = int(arguments["index"])
    empty = t.EmberMulticastTableEntry(multicastId=0, endpoint=0, networkIndex=0)
    if index >= table_size(radio, t.EzspConfigId.CONFIG_MULTICAST_TABLE_SIZE):
        return {"status": t.EmberStatus.INDEX_OUT_OF_RANGE, "value": empty}
    return {**OK, "value": radio.settings.multicasts.get(index, empty)}


def _set_multicast(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    radio.settings.multicasts[int(arguments["index"])] = arguments["value"]
    return OK


def _lookup_node(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    state, wanted = radio.stack.state, eui64_number(arguments["eui64"])
    found = state.addresses.get(wanted) if state is not None else None
    for eui64, node_id in radio.settings.address_table.values():
        if found is None and eui64 == wanted:
            found = node_id
    return {"nodeId": 0xFFFF if found is None else found}


def _lookup_eui64(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    found = radio.stack.eui64_of(int(arguments["nodeId"]))
    if found is None:
        return {"status": t.EmberStatus.ERR_FATAL, "eui64": eui64_value(0)}
    return {**OK, "eui64": eui64_value(found)}


def _replace_address(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    index = int(arguments["addressTableIndex"])
    old = radio.settings.address_table.get(index, (0, NO_NODE_ID))
    new = (eui64_number(arguments["newEui64"]), int(arguments["newId"]))
    radio.settings.address_table[index] = new
    timeouts = radio.settings.extended_timeouts
    had_timeout = old[0] in timeouts
    (timeouts.add if arguments["newExtendedTimeout"] else timeouts.discard)(new[0])
    return {
        **OK,
        "oldEui64": eui64_value(old[0]),
        "oldId": old[1],
        "oldExtendedTimeout": had_timeout,
    }


def _address_node(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    index = int(arguments["addressTableIndex"])
    return {"nodeId": radio.settings.address_table.get(index, (0, 0xFFFF))[1]}


def _address_eui64(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    index = int(arguments["addressTableIndex"])
    return {"eui64": eui64_value(radio.settings.address_table.get(index, (0, 0))[0])}


def _get_timeout(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    wanted = eui64_number(arguments["remoteEui64"])
    return {"extendedTimeout": wanted in radio.settings.extended_timeouts}


def _set_timeout(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    timeouts, eui64 = radio.settings.extended_timeouts, eui64_number(arguments["remoteEui64"])
    (timeouts.add if arguments["extendedTimeout"] else timeouts.discard)(eui64)
    return {}


def _counters(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    values = [0] * COUNTERS
    values[int(t.EmberCounterType.COUNTER_MAC_TX_UNICAST_SUCCESS)] = radio.air.frames & 0xFFFF
    return {"values": values}


def _payload_length(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del radio, arguments, now
    return {"apsLength": payload_maximum(is_encrypted=False, in_blocks=False)}


def _get_eui64(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    return {"eui64": eui64_value(radio.kind.eui64)}


def _done(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    """Carry out a command that changes nothing that is emulated."""
    del radio, arguments, now
    return OK


def _nothing(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    """Carry out a command without a status that changes nothing that is emulated."""
    del radio, arguments, now
    return {}


def _discovery_mode(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del radio, arguments, now
    return {"remainingTime": 0}


def _custom_frame(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    """Refuse: there are no extensions to the firmware."""
    del radio, arguments, now
    return {"status": t.EmberStatus.LIBRARY_NOT_PRESENT, "reply": b""}


HANDLERS: Final[dict[str, Handler]] = {
    "getConfigurationValue": _get_configuration,
    "setConfigurationValue": _set_configuration,
    "getValue": _get_value,
    "setValue": _set_value,
    "setPolicy": _set_policy,
    "getPolicy": _get_policy,
    "addEndpoint": _add_endpoint,
    "getMfgToken": _get_token,
    "setMfgToken": _set_token,
    "getMulticastTableEntry": _get_multicast,
    "setMulticastTableEntry": _set_multicast,
    "lookupNodeIdByEui64": _lookup_node,
    "lookupEui64ByNodeId": _lookup_eui64,
    "replaceAddressTableEntry": _replace_address,
    "getAddressTableRemoteNodeId": _address_node,
    "getAddressTableRemoteEui64": _address_eui64,
    "getExtendedTimeout": _get_timeout,
    "setExtendedTimeout": _set_timeout,
    "readCounters": _counters,
    "readAndClearCounters": _counters,
    "maximumPayloadLength": _payload_length,
    "getEui64": _get_eui64,
    "setConcentrator": _done,
    "setSourceRouteDiscoveryMode": _discovery_mode,
    "setRadioPower": _done,
    "setRadioChannel": _done,
    "setManufacturerCode": _nothing,
    "gpSinkTableClearAll": _nothing,
    "nop": _nothing,
    "customFrame": _custom_frame,
}
