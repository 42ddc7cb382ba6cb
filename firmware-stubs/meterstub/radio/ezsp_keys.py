"""Commands about keys: the trust centre's, those of nodes that join, and key establishment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bellows.types as t

from meterstub.radio.emulated_key_establishment import (
    EmulatedSecret,
    emulated_ephemeral_data,
    emulated_identity,
)
from meterstub.radio.ezsp_handlers import (
    OK,
    Handler,
    KeyEstablishment,
    eui64_number,
    eui64_value,
    failed,
    key_octets,
    key_value,
)
from meterstub.radio.ezsp_setup import table_size
from zse.key_establishment import subject_of

if TYPE_CHECKING:
    from meterstub.radio.ezsp_handlers import Radio
    from meterstub.radio.zigbee_stack import NetworkState

NO_INDEX: Final = 0xFF
COMPUTATION_S: Final = 0.02
"""How long the emulated radio takes for a key or a secret; real ones take seconds."""


def _security_set(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    if radio.stack.is_up:
        return failed(t.EmberStatus.INVALID_CALL)
    radio.settings.security = arguments["state"]
    return OK


def _security_get(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    state = radio.stack.state
    bitmask = t.EmberCurrentSecurityBitmask.HAVE_TRUST_CENTER_LINK_KEY
    hashed = t.EmberCurrentSecurityBitmask.TRUST_CENTER_USES_HASHED_LINK_KEY
    if radio.memory.kept.security & int(hashed) == int(hashed):
        bitmask |= hashed
    trust_centre = state.trust_centre if state is not None else 0
    return {
        "status": t.EmberStatus.SUCCESS if state else t.EmberStatus.NOT_JOINED,
        "state": t.EmberCurrentSecurityState(
            bitmask=bitmask, trustCenterLongAddress=eui64_value(trust_centre)
        ),
    }


def _key_struct(kind: Any, key: bytes, **more: Any) -> Any:
    bits = t.EmberKeyStructBitmask
    values = {
        "bitmask": bits.KEY_HAS_OUTGOING_FRAME_COUNTER,
        "type": kind,
        "key": key_value(key),
        "outgoingFrameCounter": 0,
        "incomingFrameCounter": 0,
        "sequenceNumber": 0,
        "partnerEUI64": eui64_value(0),
    }
    return t.EmberKeyStruct(**values | more)


def _get_key(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    kind, state = arguments["keyType"], radio.stack.state
    bits = t.EmberKeyStructBitmask
    if state is not None and kind == t.EmberKeyType.CURRENT_NETWORK_KEY:
        found = _key_struct(
            kind,
            state.network_key,
            bitmask=bits.KEY_HAS_OUTGOING_FRAME_COUNTER | bits.KEY_HAS_SEQUENCE_NUMBER,
            outgoingFrameCounter=state.frame_counter,
            sequenceNumber=state.network_key_sequence,
        )
        return {**OK, "keyStruct": found}
    if state is not None and kind == t.EmberKeyType.TRUST_CENTER_LINK_KEY:
        key = _trust_centre_key(radio, state)
        found = _key_struct(
            kind,
            key,
            bitmask=bits.KEY_HAS_OUTGOING_FRAME_COUNTER | bits.KEY_HAS_PARTNER_EUI64,
            partnerEUI64=eui64_value(state.trust_centre),
        )
        return {**OK, "keyStruct": found}
    return {"status": t.EmberStatus.KEY_INVALID, "keyStruct": _key_struct(kind, bytes(16))}


def _trust_centre_key(radio: Radio, state: NetworkState) -> bytes:
    if radio.stack.is_coordinator:
        return radio.memory.kept.preconfigured_key
    return state.link_key(state.trust_centre) or bytes(16)


def _export(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    kind, state = arguments["context"].core_key_type, radio.stack.state
    if state is not None and kind == t.SecurityManagerKeyType.NETWORK:
        return {"status": t.sl_Status.OK, "key": key_value(state.network_key)}
    if state is not None and kind == t.SecurityManagerKeyType.TC_LINK:
        return {"status": t.sl_Status.OK, "key": key_value(_trust_centre_key(radio, state))}
    return {"status": t.sl_Status.NOT_FOUND, "key": key_value(bytes(16))}


def _network_key_info(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    state = radio.stack.state
    info = t.SecurityManagerNetworkKeyInfo(
        network_key_set=state is not None,
        alternate_network_key_set=state is not None and state.next_key is not None,
        network_key_sequence_number=state.network_key_sequence if state else 0,
        alt_network_key_sequence_number=state.next_key[1] if state and state.next_key else 0,
        network_key_frame_counter=state.frame_counter if state else 0,
    )
    return {"status": t.sl_Status.OK, "network_key_info": info}


def _expect(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    eui64 = eui64_number(arguments["partner"])
    radio.stack.expect(eui64, key_octets(arguments["transientKey"]), now)
    return OK


def _import_transient(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    eui64 = eui64_number(arguments["eui64"])
    radio.stack.expect(eui64, key_octets(arguments["plaintext_key"]), now)
    return {"status": t.sl_Status.OK}


def _forget_transient(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    radio.stack.forget_expected()
    return {}


# The table of link keys. Its order is that of the addresses.


def _link_keys(radio: Radio) -> dict[int, bytes]:
    state = radio.stack.state
    return radio.settings.link_keys if state is None else state.link_keys


def _entry(radio: Radio, index: int) -> tuple[int, bytes] | None:
    entries = sorted(_link_keys(radio).items())
    return entries[index] if index < len(entries) else None


def _find_key(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    addresses = sorted(_link_keys(radio))
    wanted = eui64_number(arguments["address"])
    return {"index": addresses.index(wanted) if wanted in addresses else NO_INDEX}


def _erase_key(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    entry = _entry(radio, int(arguments["index"]))
    if entry is None:
        return failed(t.EmberStatus.KEY_INVALID)
    del _link_keys(radio)[entry[0]]
    radio.save()
    return OK


def _clear_keys(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    _link_keys(radio).clear()
    radio.save()
    return OK


def _add_key(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    return _store(radio, eui64_number(arguments["address"]), key_octets(arguments["keyData"]))


def _import_key(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    _store(radio, eui64_number(arguments["address"]), key_octets(arguments["key"]))
    return {"status": t.sl_Status.OK}


def _store(radio: Radio, eui64: int, key: bytes) -> dict[str, Any]:
    keys = _link_keys(radio)
    if eui64 not in keys and len(keys) >= table_size(radio, t.EzspConfigId.CONFIG_KEY_TABLE_SIZE):
        return failed(t.EmberStatus.TABLE_FULL)
    keys[eui64] = key
    radio.save()
    return OK


def _get_entry(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    index, kind = int(arguments["index"]), t.EmberKeyType.APPLICATION_LINK_KEY
    entry = _entry(radio, index)
    if entry is None:
        is_outside = index >= table_size(radio, t.EzspConfigId.CONFIG_KEY_TABLE_SIZE)
        status = t.EmberStatus.INDEX_OUT_OF_RANGE
        if not is_outside:
            status = t.EmberStatus.TABLE_ENTRY_ERASED
        return {"status": status, "keyStruct": _key_struct(kind, bytes(16))}
    bits = t.EmberKeyStructBitmask
    found = _key_struct(
        kind,
        entry[1],
        bitmask=bits.KEY_HAS_PARTNER_EUI64 | bits.KEY_HAS_OUTGOING_FRAME_COUNTER,
        partnerEUI64=eui64_value(entry[0]),
    )
    return {**OK, "keyStruct": found}


def _export_entry(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    entry = _entry(radio, int(arguments["index"]))
    metadata = t.SecurityManagerAPSKeyMetadata(
        bitmask=t.EmberKeyStructBitmask.KEY_HAS_PARTNER_EUI64,
        outgoing_frame_counter=0,
        incoming_frame_counter=0,
        ttl_in_seconds=0,
    )
    eui64, key = entry or (0, bytes(16))
    return {
        "status": t.sl_Status.OK if entry else t.sl_Status.NOT_FOUND,
        "eui64": eui64_value(eui64),
        "plaintext_key": key_value(key),
        "key_data": metadata,
    }


def _factory_reset(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    """Clear every token of the stack; the network goes with the next reset."""
    del arguments, now
    radio.memory.kept.network = None
    radio.memory.kept.security = 0
    radio.memory.kept.preconfigured_key = b""
    radio.memory.save()
    return {}


# Key establishment, suite 2.


def _certificate(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments, now
    if not radio.kind.has_smart_energy:
        return {"status": t.EmberStatus.LIBRARY_NOT_PRESENT, "localCert": _certificate_value()}
    identity = emulated_identity(radio.kind.eui64)
    return {**OK, "localCert": t.EmberCertificate283k1Data(identity)}


def _certificate_value() -> Any:
    return t.EmberCertificate283k1Data(bytes(74))


def _generate(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del arguments
    if not radio.kind.has_smart_energy:
        return failed(t.EmberStatus.LIBRARY_NOT_PRESENT)
    exchange = radio.key_establishment = KeyEstablishment(
        emulated_ephemeral_data(radio.random_octets(16))
    )

    def tell(at: float) -> None:
        del at
        if radio.key_establishment is exchange:
            radio.call_back(
                "generateCbkeKeysHandler283k1",
                status=t.EmberStatus.SUCCESS,
                ephemeralPublicKey=t.EmberPublicKey283k1Data(exchange.ephemeral),
            )

    radio.air.call_at(now + COMPUTATION_S, tell)
    return failed(t.EmberStatus.OPERATION_IN_PROGRESS)


def _calculate(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    exchange = radio.key_establishment
    if not radio.kind.has_smart_energy:
        return failed(t.EmberStatus.LIBRARY_NOT_PRESENT)
    if not exchange.ephemeral:
        return failed(t.EmberStatus.INVALID_CALL)
    own = (emulated_identity(radio.kind.eui64), exchange.ephemeral)
    partner = (
        bytes(arguments["partnerCertificate"].serialize()),
        bytes(arguments["partnerEphemeralPublicKey"].serialize()),
    )
    is_initiator = bool(arguments["amInitiator"])
    secret = EmulatedSecret(
        initiator=own if is_initiator else partner, responder=partner if is_initiator else own
    )
    exchange.partner = subject_of(partner[0])
    exchange.link_key = secret.link_key

    def tell(at: float) -> None:
        del at
        if radio.key_establishment is exchange:
            radio.call_back(
                "calculateSmacsHandler283k1",
                status=t.EmberStatus.SUCCESS,
                initiatorSmac=t.EmberSmacData(secret.initiator_mac),
                responderSmac=t.EmberSmacData(secret.responder_mac),
            )

    radio.air.call_at(now + COMPUTATION_S, tell)
    return failed(t.EmberStatus.OPERATION_IN_PROGRESS)


def _finish(radio: Radio, arguments: dict[str, Any], now: float) -> dict[str, Any]:
    del now
    exchange, radio.key_establishment = radio.key_establishment, KeyEstablishment()
    if not arguments["storeLinkKey"]:
        return OK
    if exchange.link_key is None or exchange.partner is None:
        return failed(t.EmberStatus.INVALID_CALL)
    return _store(radio, exchange.partner, exchange.link_key)


HANDLERS: Final[dict[str, Handler]] = {
    "setInitialSecurityState": _security_set,
    "getCurrentSecurityState": _security_get,
    "getKey": _get_key,
    "exportKey": _export,
    "getNetworkKeyInfo": _network_key_info,
    "addTransientLinkKey": _expect,
    "importTransientKey": _import_transient,
    "clearTransientLinkKeys": _forget_transient,
    "findKeyTableEntry": _find_key,
    "eraseKeyTableEntry": _erase_key,
    "clearKeyTable": _clear_keys,
    "addOrUpdateKeyTableEntry": _add_key,
    "importLinkKey": _import_key,
    "getKeyTableEntry": _get_entry,
    "exportLinkKeyByIndex": _export_entry,
    "tokenFactoryReset": _factory_reset,
    "getCertificate283k1": _certificate,
    "generateCbkeKeys283k1": _generate,
    "calculateSmacs283k1": _calculate,
    "clearTemporaryDataMaybeStoreLinkKey283k1": _finish,
}
