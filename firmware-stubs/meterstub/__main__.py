"""Host emulated devices by themselves, on ptys and TCP ports, for any program to use.

Keys and certificates are made in a folder of their own, where there are none: a whole test PKI
with its organisations' private keys, and the devices' memories. It runs until SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gbcs.protocol_errors import KeyrigError
from gbcs.roles import KeyUsage
from meterlink.hdlc.hdlc_address import HDLCAddress
from meterstub.device_faults import Faults
from meterstub.device_folder import DeviceFolder
from meterstub.devices_file import DevicesFile, DevicesInvalid, devices_of, read_devices
from meterstub.hosts.line_host import HostFailed, LineOptions
from meterstub.hosts.pty_host import PtyHost
from meterstub.hosts.tcp_host import TCPHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterstub.devices_file import HostedDevice
    from meterstub.emulated_device import EmulatedDevice
    from meterstub.hosts.line_host import LineHost

CHECK_INTERVAL_S: Final = 0.5
DEFAULT_FOLDER: Final = Path("meterstub")
HOST_ENDED: Final = 1
WRONG_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Host devices until SIGINT or SIGTERM; return the exit code."""
    asked = _parser().parse_args(arguments)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        _host(asked, stopping)
    except HostFailed as error:
        sys.stderr.write(f"meterstub: {error}\n")
        return HOST_ENDED
    except (KeyrigError, OSError) as error:
        sys.stderr.write(f"meterstub: {error}\n")
        return WRONG_USAGE
    return 0


def _host(asked: argparse.Namespace, stopping: threading.Event) -> None:
    wanted = _wanted(asked)
    folder = DeviceFolder(asked.folder or wanted.folder or DEFAULT_FOLDER)
    with ExitStack() as stack:
        stack.enter_context(folder.in_use())
        powered = [(each, _powered_on(folder, each)) for each in wanted.device]
        hosts = [(each, stack.enter_context(_host_of(each, device))) for each, device in powered]
        _announce(folder, hosts, as_json=asked.json)
        while not stopping.wait(CHECK_INTERVAL_S):
            for _, host in hosts:
                host.verify_running()


def _wanted(asked: argparse.Namespace) -> DevicesFile:
    if (asked.file is None) == (not asked.device):
        raise DevicesInvalid("name a file of devices, or devices by --device TYPE:EUI; not both")
    if asked.file is None:
        return devices_of(asked.device, asked.fault, tcp=asked.tcp)
    if asked.fault or asked.tcp:
        raise DevicesInvalid("--fault and --tcp go with --device; write them into the file")
    return read_devices(asked.file)


def _powered_on(folder: DeviceFolder, wanted: HostedDevice) -> EmulatedDevice:
    faults = Faults()
    for text in wanted.faults:
        faults.inject(text)
    return folder.device(wanted.entity_id, wanted.type, faults=faults, options=wanted.options)


def _host_of(wanted: HostedDevice, device: EmulatedDevice) -> LineHost:
    options = LineOptions(
        client=HDLCAddress.client(wanted.hdlc.client), server=HDLCAddress.server(wanted.hdlc.server)
    )
    if wanted.tcp_port is None:
        return PtyHost(device, framing=wanted.framing, options=options, link=wanted.link)
    return TCPHost(device, framing=wanted.framing, options=options, port=wanted.tcp_port)


def _announce(
    folder: DeviceFolder, hosts: Sequence[tuple[HostedDevice, LineHost]], *, as_json: bool
) -> None:
    """Write where each device listens and which certificates it holds; one line of JSON, or text.

    Devices answer before the first octet of it is written.
    """
    listed: list[dict[str, Any]] = []
    for wanted, host in hosts:
        files = folder.certificate_files(wanted.entity_id)
        listed.append(
            {
                "entity_id": str(wanted.entity_id),
                "type": wanted.type.value,
                "url": host.url,
                "framing": wanted.framing,
                "certificates": {
                    "ds": str(files[KeyUsage.DIGITAL_SIGNATURE]),
                    "ka": str(files[KeyUsage.KEY_AGREEMENT]),
                },
            }
        )
    if as_json:
        text = json.dumps({"pki": str(folder.pki), "devices": listed}) + "\n"
    else:
        text = f"keys and certificates in {folder.pki}\n" + "".join(
            f"{each['type']} {each['entity_id']} on {each['url']} ({each['framing']}), "
            f"certificates {' '.join(Path(file).name for file in each['certificates'].values())}\n"
            for each in listed
        )
    sys.stdout.write(text)
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="meterstub", description=__doc__)
    add = parser.add_argument
    add("file", nargs="?", type=Path, help="TOML file with one [[device]] for each device")
    add(
        "--device",
        action="append",
        default=[],
        metavar="TYPE:EUI[:FRAMING]",
        help="a device, such as ESME:00-DB-12-34-56-78-90-A0:hdlc; gfi without a framing",
    )
    add("--fault", action="append", default=[], metavar="EUI:FAULT", help="a fault of a device")
    add("--tcp", action="store_true", help="listen on TCP ports of 127.0.0.1 instead of ptys")
    add(
        "--folder",
        type=Path,
        help=f"where keys, certificates and memories are kept; by default {DEFAULT_FOLDER}",
    )
    add("--json", action="store_true", help="announce as one line of JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
