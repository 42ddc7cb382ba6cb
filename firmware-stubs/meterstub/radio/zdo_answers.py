"""A node's answers to the ZigBee device object's questions.

Source: ZigBee PRO R21, 2.4.3 and 2.4.4.
"""

# zigpy's structures are made by functions without annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import zigpy.types as t
import zigpy.zdo.types as zdo

from meterstub.radio.zigbee_stack import NodeType

if TYPE_CHECKING:
    from collections.abc import Sequence

RESPONSE: Final = 0x8000
SUCCESS: Final = 0x00
DEVICE_NOT_FOUND: Final = 0x81
INACTIVE_ENDPOINT: Final = 0x83
_CLUSTERS: Final = {int(number): schema for number, schema in zdo.CLUSTERS.items()}
_LOGICAL: Final = {
    NodeType.COORDINATOR: zdo.LogicalType.Coordinator,
    NodeType.ROUTER: zdo.LogicalType.Router,
    NodeType.SLEEPY_END_DEVICE: zdo.LogicalType.EndDevice,
}
_CAPABILITIES: Final = {
    NodeType.COORDINATOR: 0x8F,
    NodeType.ROUTER: 0x8E,
    NodeType.SLEEPY_END_DEVICE: 0x80,
}


@dataclass(frozen=True, slots=True)
class EndpointDescription:
    """One endpoint.

    Args:
        endpoint: 1..240.
        profile: Profile identifier.
        device_id: What it is within the profile.
        input_clusters: Clusters of which it is the server.
        output_clusters: Clusters of which it is the client.
        version: Of the device.
    """

    endpoint: int
    profile: int
    device_id: int
    input_clusters: tuple[int, ...]
    output_clusters: tuple[int, ...]
    version: int = 0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node tells of itself."""

    eui64: int
    node_id: int
    node_type: NodeType
    manufacturer_code: int
    endpoints: Sequence[EndpointDescription]


def answer(cluster: int, payload: bytes, facts: NodeFacts) -> tuple[int, bytes] | None:
    """Return the answer to a question, as cluster and payload, or None where there is none.

    Args:
        cluster: The question's cluster.
        payload: Its octets, the sequence number first.
        facts: What the node tells of itself.
    """
    if cluster & RESPONSE or not payload:
        return None
    handler = _ANSWERS.get(cluster)
    if handler is None:
        return None
    try:
        schema = _CLUSTERS[cluster]
        arguments, rest = {}, payload[1:]
        for name, kind in zip(*schema, strict=True):
            arguments[name], rest = kind.deserialize(rest)
    except (ValueError, KeyError):
        return None
    response = handler(arguments, facts)
    if response is None:
        return None
    names, kinds = _CLUSTERS[cluster | RESPONSE]
    body = b"".join(
        kind(response[name]).serialize() if response[name] is not None else b""
        for name, kind in zip(names, kinds, strict=True)
        if name in response
    )
    return cluster | RESPONSE, payload[:1] + body


def _node_descriptor(arguments: dict[str, Any], facts: NodeFacts) -> dict[str, Any]:
    if int(arguments["NWKAddrOfInterest"]) != facts.node_id:
        return {"Status": DEVICE_NOT_FOUND, "NWKAddrOfInterest": arguments["NWKAddrOfInterest"]}
    descriptor = zdo.NodeDescriptor(
        logical_type=_LOGICAL[facts.node_type],
        complex_descriptor_available=0,
        user_descriptor_available=0,
        reserved=0,
        aps_flags=0,
        frequency_band=zdo.NodeDescriptor.FrequencyBand.Freq2400MHz,
        mac_capability_flags=_CAPABILITIES[facts.node_type],
        manufacturer_code=facts.manufacturer_code,
        maximum_buffer_size=82,
        maximum_incoming_transfer_size=1500,
        server_mask=0x0001 if facts.node_type is NodeType.COORDINATOR else 0,
        maximum_outgoing_transfer_size=1500,
        descriptor_capability_field=0,
    )
    return {"Status": SUCCESS, "NWKAddrOfInterest": facts.node_id, "NodeDescriptor": descriptor}


def _active_endpoints(arguments: dict[str, Any], facts: NodeFacts) -> dict[str, Any]:
    del arguments
    return {
        "Status": SUCCESS,
        "NWKAddrOfInterest": facts.node_id,
        "ActiveEPList": [each.endpoint for each in facts.endpoints],
    }


def _simple_descriptor(arguments: dict[str, Any], facts: NodeFacts) -> dict[str, Any]:
    wanted = int(arguments["EndPoint"])
    for each in facts.endpoints:
        if each.endpoint == wanted:
            descriptor = zdo.SizePrefixedSimpleDescriptor(
                endpoint=each.endpoint,
                profile=each.profile,
                device_type=each.device_id,
                device_version=each.version,
                input_clusters=list(each.input_clusters),
                output_clusters=list(each.output_clusters),
            )
            return {
                "Status": SUCCESS,
                "NWKAddrOfInterest": facts.node_id,
                "SimpleDescriptor": descriptor,
            }
    return {"Status": INACTIVE_ENDPOINT, "NWKAddrOfInterest": facts.node_id}


def _match(arguments: dict[str, Any], facts: NodeFacts) -> dict[str, Any] | None:
    profile = int(arguments["ProfileID"])
    wanted_in = {int(each) for each in arguments["InClusterList"]}
    wanted_out = {int(each) for each in arguments["OutClusterList"]}
    matches = [
        each.endpoint
        for each in facts.endpoints
        if each.profile == profile
        and (wanted_in & set(each.input_clusters) or wanted_out & set(each.output_clusters))
    ]
    if not matches:
        return None
    return {"Status": SUCCESS, "NWKAddrOfInterest": facts.node_id, "MatchList": matches}


def _network_address(arguments: dict[str, Any], facts: NodeFacts) -> dict[str, Any] | None:
    if int.from_bytes(arguments["IEEEAddr"].serialize(), "little") != facts.eui64:
        return None
    return {
        "Status": SUCCESS,
        "IEEEAddr": t.EUI64(facts.eui64.to_bytes(8, "little")),
        "NWKAddr": facts.node_id,
    }


def _ieee_address(arguments: dict[str, Any], facts: NodeFacts) -> dict[str, Any] | None:
    if int(arguments["NWKAddrOfInterest"]) != facts.node_id:
        return None
    return {
        "Status": SUCCESS,
        "IEEEAddr": t.EUI64(facts.eui64.to_bytes(8, "little")),
        "NWKAddr": facts.node_id,
    }


def _permit(arguments: dict[str, Any], facts: NodeFacts) -> dict[str, Any]:
    del arguments, facts
    return {"Status": SUCCESS}


_ANSWERS: Final = {
    int(zdo.ZDOCmd.NWK_addr_req): _network_address,
    int(zdo.ZDOCmd.IEEE_addr_req): _ieee_address,
    int(zdo.ZDOCmd.Node_Desc_req): _node_descriptor,
    int(zdo.ZDOCmd.Simple_Desc_req): _simple_descriptor,
    int(zdo.ZDOCmd.Active_EP_req): _active_endpoints,
    int(zdo.ZDOCmd.Match_Desc_req): _match,
    int(zdo.ZDOCmd.Mgmt_Permit_Joining_req): _permit,
}
