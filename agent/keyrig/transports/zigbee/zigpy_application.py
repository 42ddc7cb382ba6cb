"""zigpy's controller for an EZSP radio, extended for Smart Energy.

bellows and zigpy are used as they are. Frames of the Smart Energy profile go to a listener of
ours instead of zigpy's clusters, long ones are sent in APS blocks, which bellows only takes, and
the radio's key establishment commands have methods.
"""

# Much of zigpy and bellows has no annotations.
# mypy: disable-error-code="misc,no-untyped-call,arg-type"

from __future__ import annotations

from typing import Any, Final, Protocol

import bellows.types as t
import zigpy.application
import zigpy.exceptions
import zigpy.types
import zigpy.zdo.types as zdo_t
from bellows.ash import NcpFailure
from bellows.zigbee.application import ControllerApplication
from zigpy.zcl.clusters.general import Basic

from keyrig.base.errors import RadioRefused
from keyrig.transports.zigbee.smart_energy_ezsp import ENDPOINT, SmartEnergyRadio
from zse.smart_energy_commands import KEY_ESTABLISHMENT, METERING, TUNNELING
from zse.smart_energy_enumerations import SMART_ENERGY_PROFILE

ENERGY_SERVICE_INTERFACE: Final = 0x0500
"""The device identifier of a hub in the profile. Source: ZSE 1.4, 5.4."""
RESTING_POLICY: Final = (
    t.EzspDecisionBitmask.ALLOW_UNSECURED_REJOINS | t.EzspDecisionBitmask.JOINS_USE_INSTALL_CODE_KEY
)
"""No node joins; one with a link key that missed a network key is sent it."""
JOINING_POLICY: Final = RESTING_POLICY | t.EzspDecisionBitmask.ALLOW_JOINS
SE_CLUSTERS_IN: Final = (Basic.cluster_id, KEY_ESTABLISHMENT)
SE_CLUSTERS_OUT: Final = (TUNNELING, KEY_ESTABLISHMENT, METERING)


class PacketListener(Protocol):
    """Receives frames of the Smart Energy profile and notifications of the network."""

    def packet_received(
        self, eui64: int, cluster: int, endpoint: int, octets: bytes, *, is_encrypted: bool
    ) -> None:
        """Process a ZCL frame from a node's endpoint."""
        ...

    def node_joined(self, eui64: int, *, denied: bool) -> None:
        """Handle a node's joining or returning, or its being kept out."""
        ...

    def node_left(self, eui64: int) -> None:
        """Handle a node's leaving."""
        ...

    def network_key_switched(self, sequence: int) -> None:
        """Handle the switch to another network key."""
        ...

    def radio_lost(self, reason: str) -> None:
        """Handle the loss of the radio, or its restarting by itself."""
        ...


class SmartEnergyApplication(ControllerApplication):
    """A controller whose endpoint is a Smart Energy one.

    Args:
        config: zigpy's configuration.
        listener: Receives frames and notifications.
    """

    def __init__(self, config: dict[str, Any], listener: PacketListener) -> None:
        super().__init__(config)
        self._listener: PacketListener | None = listener
        self._smart_energy: SmartEnergyRadio | None = None

    async def register_endpoints(self) -> None:
        """Register the Smart Energy endpoint in place of zigpy's own three."""
        await self.add_endpoint(
            zdo_t.SimpleDescriptor(
                endpoint=ENDPOINT,
                profile=SMART_ENERGY_PROFILE,
                device_type=ENERGY_SERVICE_INTERFACE,
                device_version=0,
                input_clusters=[*SE_CLUSTERS_IN, TUNNELING],
                output_clusters=list(SE_CLUSTERS_OUT),
            )
        )
        self._smart_energy = SmartEnergyRadio(self._ezsp, self._where)
        await self._smart_energy.prepare()

    def detach(self) -> None:
        """Stop notifying the listener, whatever zigpy still does in the background."""
        self._listener = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the listener, and zigpy."""
        reason = "the port closed" if exc is None else str(exc) or repr(exc)
        if isinstance(exc, NcpFailure):
            reason = f"its firmware started anew, {exc.code}"
        if self._listener is not None:
            self._listener.radio_lost(reason)
        super().connection_lost(exc)

    def ezsp_callback_handler(self, frame_name: str, args: Any) -> None:
        """Process a callback of the radio."""
        radio = self._smart_energy
        # zigpy numbers its packets itself; one of ours may have the number of one of its own.
        if frame_name == "messageSentHandler" and radio is not None and radio.message_sent(args):
            return
        super().ezsp_callback_handler(frame_name, args)
        if self._listener is None:
            return
        if frame_name == "trustCenterJoinHandler":
            _, ieee, update, decision, _ = args
            eui64 = _number(ieee)
            if update == t.EmberDeviceUpdate.DEVICE_LEFT:
                self._listener.node_left(eui64)
            else:
                denied = decision == t.EmberJoinDecision.DENY_JOIN
                self._listener.node_joined(eui64, denied=denied)
        elif frame_name == "switchNetworkKeyHandler":
            self._listener.network_key_switched(int(args[0]))

    def packet_received(self, packet: zigpy.types.ZigbeePacket) -> None:
        """Pass on a frame: Smart Energy's to the listener, others to zigpy."""
        if packet.profile_id != SMART_ENERGY_PROFILE or packet.cluster_id == Basic.cluster_id:
            super().packet_received(packet)
            return
        try:
            device = self.get_device_with_address(packet.src)
        except KeyError:
            super().packet_received(packet)
            return
        if self._listener is None:
            return
        self._listener.packet_received(
            _number(device.ieee),
            int(packet.cluster_id),
            int(packet.src_ep or 0),
            packet.data.serialize(),
            is_encrypted=zigpy.types.TransmitOptions.APS_Encryption in packet.tx_options,
        )

    # Nodes.

    async def find_node(self, eui64: int) -> int | None:
        """Return the node identifier of a node that zigpy or the radio knows, or None."""
        address = _address(eui64)
        try:
            return int(self.get_device(ieee=address).nwk)
        except KeyError:
            found = await self._ezsp._protocol._lookup_node_id_by_eui64(address)  # noqa: SLF001 - it differs by version
        if found is None:
            return None
        self.add_device(address, zigpy.types.NWK(found))
        return int(found)

    def forget_node(self, eui64: int) -> None:
        """Remove a node that left, also from zigpy's database."""
        device = self.devices.pop(_address(eui64), None)
        if device is not None:
            self.listener_event("device_removed", device)

    async def has_link_key(self, eui64: int) -> bool:
        """Return True if the radio holds a link key that was established with a node."""
        (index,) = await self._ezsp.findKeyTableEntry(address=_address(eui64), linkKey=True)
        return int(index) != 0xFF

    async def permit(self, time_s: int = 60, node: Any = None) -> None:
        """Open or close the network, without admitting nodes by the well-known key.

        bellows' own way hands out that key, and changes the policy back some time later, also in
        the midst of somebody else's joining.
        """
        await zigpy.application.ControllerApplication.permit(self, time_s, node)

    async def admit(self, eui64: int, link_key: bytes, seconds: int) -> None:
        """Permit one node to join with its key, and no other, for `seconds`.

        Raises:
            RadioRefused: The radio takes no key, or no policy.
        """
        key, _ = t.KeyData.deserialize(link_key)
        status = await self._ezsp.add_transient_link_key(_address(eui64), key)
        self._require(t.sl_Status.from_ember_status(status), "an install code's key")
        await self._set_joining(JOINING_POLICY)
        await self.permit(seconds)

    async def close_network(self) -> None:
        """Close the network to joining nodes."""
        await self.permit(0)
        await self._set_joining(RESTING_POLICY)
        await self._ezsp.clearTransientLinkKeys()

    async def _set_joining(self, policy: t.EzspDecisionBitmask) -> None:
        (status,) = await self._ezsp.setPolicy(
            policyId=t.EzspPolicyId.TRUST_CENTER_POLICY, decisionId=policy
        )
        self._require(t.sl_Status.from_ember_status(status), "a trust centre policy")

    async def find_endpoint(self, node_id: int, cluster: int) -> int:
        """Return the endpoint of a node that serves a cluster, asking the node.

        Raises:
            DeliveryError: It has none, or does not answer.
        """
        device = self.get_device(nwk=zigpy.types.NWK(node_id))
        status, _, endpoints = await device.zdo.Match_Desc_req(
            zigpy.types.NWK(node_id), SMART_ENERGY_PROFILE, [cluster], []
        )
        if status != zdo_t.Status.SUCCESS or not endpoints:
            raise zigpy.exceptions.DeliveryError(f"no endpoint serves cluster 0x{cluster:04X}")
        return int(endpoints[0])

    @property
    def smart_energy(self) -> SmartEnergyRadio:
        """The radio's Smart Energy functions."""
        assert self._smart_energy is not None
        return self._smart_energy

    def _require(self, status: Any, what: str) -> None:
        if status != t.sl_Status.OK:
            raise RadioRefused(self._where, f"{what}: {status.name}")

    @property
    def _where(self) -> str:
        return str(self.config["device"]["path"])


def _number(ieee: Any) -> int:
    return int.from_bytes(ieee.serialize(), "little")


def _address(eui64: int) -> Any:
    return t.EUI64.deserialize(eui64.to_bytes(8, "little"))[0]
