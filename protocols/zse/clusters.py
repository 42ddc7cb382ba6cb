"""Smart Energy clusters that zigpy has as empty shells, defined the way it defines its own.

Importing this changes nothing in zigpy. `register` puts the definitions in place of the shells,
so that zigpy builds them for whatever device it meets. In zigpy's words, server commands are
those that a server receives.
"""

# zigpy's own definitions do not pass its annotations: they give plain numbers, texts and dicts.
# mypy: disable-error-code="arg-type,assignment,misc"

from __future__ import annotations

from typing import Final

import zigpy.types as t
from zigpy.zcl import Cluster
from zigpy.zcl.clusters.smartenergy import (
    FunctionalNotificationFlags,
    Metering,
    NotificationFlags2,
    NotificationFlags3,
    NotificationFlags4,
    NotificationFlags5,
)
from zigpy.zcl.foundation import (
    ZCL_CLUSTER_REVISION_ATTR,
    ZCL_REPORTING_STATUS_ATTR,
    BaseAttributeDefs,
    BaseCommandDefs,
    DataTypeId,
    ZCLAttributeDef,
    ZCLCommandDef,
)

SMART_ENERGY_PROFILE: Final = 0x0109
"""Profile identifier. Source: ZSE 1.4."""


class TunnelProtocol(t.enum8):
    """What a tunnel carries. Source: ZSE 1.4, annex D.6; GBCS 10.2.2 for GB-HRGP."""

    DLMS_COSEM = 0
    IEC_61107 = 1
    ANSI_C12 = 2
    M_BUS = 3
    SML = 4
    ClimateTalk = 5
    GB_HRGP = 6
    Test = 199


class TunnelStatus(t.enum8):
    """The outcome of RequestTunnel. Source: ZSE 1.4, annex D.6."""

    Success = 0x00
    Busy = 0x01
    No_More_Tunnel_IDs = 0x02
    Protocol_Not_Supported = 0x03
    Flow_Control_Not_Supported = 0x04


class TransferDataStatus(t.enum8):
    """Why data was not taken. Source: ZSE 1.4, annex D.6."""

    No_Such_Tunnel = 0x00
    Wrong_Device = 0x01
    Data_Overflow = 0x02


class KeyEstablishmentSuite(t.bitmap16):
    """Key establishment suites. Source: ZSE 1.4, annex C."""

    Certificate_based_1 = 0x0001
    Certificate_based_2 = 0x0002


class KeyEstablishmentStatus(t.enum8):
    """Why key establishment was terminated. Source: ZSE 1.4, annex C."""

    Unknown_Issuer = 0x01
    Bad_Key_Confirm = 0x02
    Bad_Message = 0x03
    No_Resources = 0x04
    Unsupported_Suite = 0x05
    Invalid_Certificate = 0x06


class SupportedProtocol(t.Struct):
    """One entry of SupportedTunnelProtocolsResponse. Source: ZSE 1.4, annex D.6."""

    manufacturer_code: t.uint16_t
    protocol_id: TunnelProtocol


class Tunneling(Cluster):
    """Tunneling, 0x0704. Source: ZSE 1.4, annex D.6."""

    TunnelProtocol: Final = TunnelProtocol
    TunnelStatus: Final = TunnelStatus
    TransferDataStatus: Final = TransferDataStatus

    _skip_registry = True
    cluster_id: Final[t.uint16_t] = 0x0704
    ep_attribute: Final = "smartenergy_tunneling"
    aps_encryption = True

    class AttributeDefs(BaseAttributeDefs):
        """Attributes of the server."""

        close_tunnel_timeout: Final = ZCLAttributeDef(
            id=0x0000, type=t.uint16_t, access="r", mandatory=True
        )
        cluster_revision: Final = ZCL_CLUSTER_REVISION_ATTR
        reporting_status: Final = ZCL_REPORTING_STATUS_ATTR

    class ServerCommandDefs(BaseCommandDefs):
        """Commands to the server."""

        request_tunnel: Final = ZCLCommandDef(
            id=0x00,
            schema={
                "protocol_id": TunnelProtocol,
                "manufacturer_code": t.uint16_t,
                "flow_control_support": t.Bool,
                "maximum_incoming_transfer_size": t.uint16_t,
            },
        )
        close_tunnel: Final = ZCLCommandDef(id=0x01, schema={"tunnel_id": t.uint16_t})
        transfer_data: Final = ZCLCommandDef(
            id=0x02, schema={"tunnel_id": t.uint16_t, "data": t.Bytes}
        )
        transfer_data_error: Final = ZCLCommandDef(
            id=0x03,
            schema={"tunnel_id": t.uint16_t, "transfer_data_status": TransferDataStatus},
        )
        ack_transfer_data: Final = ZCLCommandDef(
            id=0x04, schema={"tunnel_id": t.uint16_t, "number_of_octets_left": t.uint16_t}
        )
        ready_data: Final = ZCLCommandDef(
            id=0x05, schema={"tunnel_id": t.uint16_t, "number_of_octets_left": t.uint16_t}
        )
        get_supported_tunnel_protocols: Final = ZCLCommandDef(
            id=0x06, schema={"protocol_offset": t.uint8_t}
        )

    class ClientCommandDefs(BaseCommandDefs):
        """Commands to the client."""

        request_tunnel_response: Final = ZCLCommandDef(
            id=0x00,
            schema={
                "tunnel_id": t.uint16_t,
                "tunnel_status": TunnelStatus,
                "maximum_incoming_transfer_size": t.uint16_t,
            },
        )
        transfer_data_to_client: Final = ZCLCommandDef(
            id=0x01, schema={"tunnel_id": t.uint16_t, "data": t.Bytes}
        )
        transfer_data_error_to_client: Final = ZCLCommandDef(
            id=0x02,
            schema={"tunnel_id": t.uint16_t, "transfer_data_status": TransferDataStatus},
        )
        ack_transfer_data_to_client: Final = ZCLCommandDef(
            id=0x03, schema={"tunnel_id": t.uint16_t, "number_of_octets_left": t.uint16_t}
        )
        ready_data_to_client: Final = ZCLCommandDef(
            id=0x04, schema={"tunnel_id": t.uint16_t, "number_of_octets_left": t.uint16_t}
        )
        supported_tunnel_protocols_response: Final = ZCLCommandDef(
            id=0x05,
            schema={
                "protocol_list_complete": t.Bool,
                "protocols": t.LVList[SupportedProtocol],
            },
        )
        tunnel_closure_notification: Final = ZCLCommandDef(
            id=0x06, schema={"tunnel_id": t.uint16_t}
        )


class KeyEstablishment(Cluster):
    """Key Establishment, 0x0800. Source: ZSE 1.4, annex C.

    Identity, ephemeral data and key confirmation have the sizes of the suite that is used, so
    they are read up to the end of the command.
    """

    KeyEstablishmentSuite: Final = KeyEstablishmentSuite
    KeyEstablishmentStatus: Final = KeyEstablishmentStatus

    _skip_registry = True
    cluster_id: Final[t.uint16_t] = 0x0800
    ep_attribute: Final = "smartenergy_key_establishment"

    class AttributeDefs(BaseAttributeDefs):
        """Attributes, the same for server and client."""

        key_establishment_suite: Final = ZCLAttributeDef(
            id=0x0000, type=t.enum16, access="r", mandatory=True
        )
        cluster_revision: Final = ZCL_CLUSTER_REVISION_ATTR
        reporting_status: Final = ZCL_REPORTING_STATUS_ATTR

    class ServerCommandDefs(BaseCommandDefs):
        """Commands to the server, which is the responder."""

        initiate_key_establishment_request: Final = ZCLCommandDef(
            id=0x00,
            schema={
                "key_establishment_suite": KeyEstablishmentSuite,
                "ephemeral_data_generate_time": t.uint8_t,
                "confirm_key_generate_time": t.uint8_t,
                "identity": t.Bytes,
            },
        )
        ephemeral_data_request: Final = ZCLCommandDef(id=0x01, schema={"ephemeral_data": t.Bytes})
        confirm_key_data_request: Final = ZCLCommandDef(
            id=0x02, schema={"secure_message_authentication_code": t.Bytes}
        )
        terminate_key_establishment_by_initiator: Final = ZCLCommandDef(
            id=0x03,
            schema={
                "status": KeyEstablishmentStatus,
                "wait_time": t.uint8_t,
                "key_establishment_suite": KeyEstablishmentSuite,
            },
        )

    class ClientCommandDefs(BaseCommandDefs):
        """Commands to the client, which is the initiator."""

        initiate_key_establishment_response: Final = ZCLCommandDef(
            id=0x00,
            schema={
                "key_establishment_suite": KeyEstablishmentSuite,
                "ephemeral_data_generate_time": t.uint8_t,
                "confirm_key_generate_time": t.uint8_t,
                "identity": t.Bytes,
            },
        )
        ephemeral_data_response: Final = ZCLCommandDef(id=0x01, schema={"ephemeral_data": t.Bytes})
        confirm_key_data_response: Final = ZCLCommandDef(
            id=0x02, schema={"secure_message_authentication_code": t.Bytes}
        )
        terminate_key_establishment_by_responder: Final = ZCLCommandDef(
            id=0x03,
            schema={
                "status": KeyEstablishmentStatus,
                "wait_time": t.uint8_t,
                "key_establishment_suite": KeyEstablishmentSuite,
            },
        )


class MeteringMirror(Metering):
    """Metering, 0x0702, as a hub has it towards a GSME: the client with its notification flags.

    The commands are zigpy's; the attributes are the client's own, which have the identifiers
    of server attributes, so this never replaces zigpy's definition.

    Source: ZSE 1.4, annex D.3 (Notification Attribute Set).
    """

    _skip_registry = True
    aps_encryption = True

    class AttributeDefs(BaseAttributeDefs):
        """Attributes of the client."""

        functional_notification_flags: Final = ZCLAttributeDef(
            id=0x0000, type=FunctionalNotificationFlags, zcl_type=DataTypeId.map32, access="r"
        )
        notification_flags2: Final = ZCLAttributeDef(id=0x0001, type=NotificationFlags2, access="r")
        notification_flags3: Final = ZCLAttributeDef(id=0x0002, type=NotificationFlags3, access="r")
        notification_flags4: Final = ZCLAttributeDef(id=0x0003, type=NotificationFlags4, access="r")
        notification_flags5: Final = ZCLAttributeDef(id=0x0004, type=NotificationFlags5, access="r")
        cluster_revision: Final = ZCL_CLUSTER_REVISION_ATTR
        reporting_status: Final = ZCL_REPORTING_STATUS_ATTR


_DEFINED: Final = (Tunneling, KeyEstablishment)


def register() -> None:
    """Put the definitions in place of zigpy's empty ones, for this process.

    Clusters that zigpy has already built keep theirs. Calling it again changes nothing.
    """
    for cluster in _DEFINED:
        Cluster._registry[cluster.cluster_id] = cluster  # noqa: SLF001 - where zigpy's own subclassing puts them
