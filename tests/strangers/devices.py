"""Six emulated devices as a program of its own, certified by the openssl PKI.

    python devices.py PKI MEMORIES [--fault ENTITY:FAULT]... [--lose-pending-on-power-loss]

It makes devices where MEMORIES has none, puts each on a TCP port, prints one line of JSON, and
runs until its standard input ends. Their memories outlive it.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType, KeyUsage, RemotePartyRole
from meterstub.device_factory import manufacture
from meterstub.device_faults import Faults
from meterstub.device_memory import DeviceMemory, FileStorage
from meterstub.device_options import DeviceOptions
from meterstub.emulated_device import EmulatedDevice
from meterstub.hosts.tcp_host import TCPHost
from meterstub.trust_anchor_cells import CELLS, factory_owner
from strangers.openssl_pki import BROKER, RECOVERY, TRANSITIONAL_COS, WAN_PROVIDER, OpenSSLPKI

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gbcs.security_credentials import TrustAnchorCellIdentifier
    from meterstub.hosts.line_host import Framing


@dataclass(frozen=True)
class Member:
    """One device of the home."""

    entity: EntityIdentifier
    type: DeviceType
    framing: Framing


def _member(entity: str, device_type: DeviceType, framing: Framing) -> Member:
    return Member(EntityIdentifier.parse(entity), device_type, framing)


HOME: Final = (
    _member("04e676000000c401", DeviceType.CHF, "hdlc"),
    _member("04e676000000c402", DeviceType.GPF, "gfi"),
    _member("04e676000000c403", DeviceType.ESME, "gfi"),
    _member("04e676000000c404", DeviceType.GSME, "hdlc"),
    _member("04e676000000c405", DeviceType.HCALCS, "hdlc"),
    _member("04e676000000c406", DeviceType.PPMID, "gfi"),
)
USES: Final = {"ds": KeyUsage.DIGITAL_SIGNATURE, "ka": KeyUsage.KEY_AGREEMENT}
_OWNERS: Final = {
    RemotePartyRole.RECOVERY: RECOVERY,
    RemotePartyRole.TRANSITIONAL_COS: TRANSITIONAL_COS,
    RemotePartyRole.WAN_PROVIDER: WAN_PROVIDER,
    RemotePartyRole.ACCESS_CONTROL_BROKER: BROKER,
}


def memory_of(memories: Path, entity: EntityIdentifier) -> FileStorage:
    """Return where a device's memory is kept."""
    return FileStorage(memories / f"{entity.stem}.json")


def _anchors(pki: OpenSSLPKI, device_type: DeviceType) -> Mapping[TrustAnchorCellIdentifier, bytes]:
    anchors = {}
    for cell in CELLS[device_type]:
        if cell.role is RemotePartyRole.ROOT:
            anchors[cell] = pki.certificate("root")
            continue
        use = next(name for name, usage in USES.items() if usage == cell.key_usage)
        owner = _OWNERS[factory_owner(cell)]
        anchors[cell] = pki.certificate(f"{owner.entity}-{use}")
    return anchors


def _make(pki: OpenSSLPKI, memories: Path, member: Member) -> None:
    state = manufacture(
        member.type,
        member.entity,
        anchors=_anchors(pki, member.type),
        certify=pki.certify,
    )
    for use, usage in USES.items():
        first = memories / f"{member.entity.stem}-{use}.der"
        first.write_bytes(state.certificates[usage])
    DeviceMemory.create(memory_of(memories, member.entity), state)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("pki", type=Path)
    parser.add_argument("memories", type=Path)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--lose-pending-on-power-loss", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Make, host and announce the devices; stop when standard input ends."""
    given = _arguments()
    faults = {member.entity: Faults() for member in HOME}
    for fault in given.fault:
        entity, _, text = fault.partition(":")
        faults[EntityIdentifier.parse(entity)].inject(text)
    options = DeviceOptions(lose_pending_on_power_loss=given.lose_pending_on_power_loss)
    pki, memories = OpenSSLPKI(given.pki), given.memories
    memories.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        announced = []
        for member in HOME:
            storage = memory_of(memories, member.entity)
            if not storage.path.exists():
                _make(pki, memories, member)
            device = EmulatedDevice(
                DeviceMemory(storage), options=options, faults=faults[member.entity]
            )
            host = stack.enter_context(TCPHost(device, framing=member.framing))
            announced.append(
                {
                    "entity_id": str(member.entity),
                    "type": member.type.value,
                    "url": host.url,
                    "framing": member.framing,
                    "certificates": {
                        use: str(memories / f"{member.entity.stem}-{use}.der") for use in USES
                    },
                }
            )
        sys.stdout.write(json.dumps({"devices": announced}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
