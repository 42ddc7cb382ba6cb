"""Stand in for DCC Boxed in front of emulated devices, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dccstub.key_folder import KeyFolder
from dccstub.running_stand_in import Running
from dccstub.stand_in import DCCBoxed
from dccstub.stand_in_inventory import InventoryDevice
from dccstub.stand_in_options import StandInOptions
from gbcs.protocol_errors import KeyrigError
from meterstub.device_memory import DeviceMemory, FileStorage
from meterstub.emulated_device import EmulatedDevice

if TYPE_CHECKING:
    from collections.abc import Sequence

DUIS_PORT: Final = 8079
SMKI_PORT: Final = 8083
BUNDLE_PORT: Final = 8080
"""DCC Boxed has it on port 80, which is for the superuser alone."""
WRONG_USAGE: Final = 2
_MEMORY: Final = re.compile("[0-9a-f]{16}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a stand-in until SIGINT or SIGTERM; return the exit code."""
    asked = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        boxed = DCCBoxed(
            KeyFolder.read(asked.keys),
            [InventoryDevice(emulated=device) for device in emulated_devices(asked.devices)],
            options=StandInOptions(api_key=asked.api_key_file.read_text("utf-8").strip())
            if asked.api_key_file
            else None,
        )
        with Running(
            boxed,
            receive_address=asked.receive,
            duis_port=asked.duis_port,
            smki_port=asked.smki_port,
            bundle_port=asked.bundle_port,
        ) as stand_in:
            _announce(stand_in, boxed, as_json=asked.json)
            stop.wait()
    except (KeyrigError, OSError) as error:
        sys.stderr.write(f"dccstub: {error}\n")
        return WRONG_USAGE
    return 0


def _announce(stand_in: Running, boxed: DCCBoxed, *, as_json: bool) -> None:
    """Write where it listens and which devices it has; one line of JSON, or text."""
    addresses = {
        "duis": stand_in.duis_url,
        "smki": stand_in.smki_url,
        "bundle": stand_in.bundle_url,
    }
    devices = [str(device.entity_id) for device in boxed.inventory]
    if as_json:
        text = json.dumps({**addresses, "devices": devices}) + "\n"
    else:
        text = "".join(f"{name} on {url}\n" for name, url in addresses.items())
        text += "".join(f"device {device}\n" for device in devices)
    sys.stdout.write(text)
    sys.stdout.flush()


def emulated_devices(folder: Path) -> list[EmulatedDevice]:
    """Power on the devices whose memories are in `folder`, in files `<eui>.json`.

    Raises:
        OSError: The folder cannot be read.
        MemoryDamaged: A file is no device memory.
        MemoryUnwritable: A file cannot be read.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    return [
        EmulatedDevice(DeviceMemory(FileStorage(path)))
        for path in paths
        if _MEMORY.fullmatch(path.stem)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dccstub", description=__doc__)
    add = parser.add_argument
    add("keys", type=Path, help="folder of <eui>-{ds,ka}.{pem,key}")
    add("devices", type=Path, help="folder of emulated devices' memories, <eui>.json")
    add("--receive", metavar="URL", help="where responses and alerts are posted to")
    add("--api-key-file", type=Path, help="file with the apikey of SMKI requests")
    add("--duis-port", type=int, default=DUIS_PORT)
    add("--smki-port", type=int, default=SMKI_PORT)
    add("--bundle-port", type=int, default=BUNDLE_PORT)
    add("--json", action="store_true", help="announce as one line of JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
