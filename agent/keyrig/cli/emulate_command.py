"""`keyrig emulate`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from keyrig.base import events
from keyrig.cli.shared_options import json_option, rig_argument

CHECK_INTERVAL_S = 0.5


@click.command()
@rig_argument
@click.option("--tcp", is_flag=True, help="Listen on TCP ports of 127.0.0.1 instead of ptys.")
@click.option(
    "--write-rig",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a rig file that reaches the devices where they now are.",
)
@json_option
def emulate(rig: Path | None, write_rig: Path | None, *, tcp: bool, as_json: bool) -> int:
    """Host the emulated devices of RIG until stopped, for other programs to use."""
    from keyrig.base.private_files import PRIVATE_FILE, write_whole
    from keyrig.cli.watching import watching
    from keyrig.config.rig_file import LineSettings, load_rig
    from keyrig.run.hosting import emulated_rig

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    opened = load_rig(rig)
    with (
        watching(as_json=as_json) as observe,
        emulated_rig(opened, observe=observe, line="tcp" if tcp else "pty") as hosted,
    ):
        for name, url in hosted.radio_urls.items():
            observe(events.HostingRadio(radio=name, url=url))
        for device in opened.device:
            if device.entity_id in hosted.urls and isinstance(device.link, LineSettings):
                observe(
                    events.Hosting(
                        device=str(device.entity_id),
                        device_type=device.type.value,
                        url=hosted.urls[device.entity_id],
                        framing=device.link.framing,
                    )
                )
        if write_rig is not None:
            text = opened.with_urls(hosted.urls, hosted.commissioned_at, hosted.radio_urls)
            # Private, since it contains the devices' install codes.
            write_whole(write_rig, text.encode(), "the rig file", mode=PRIVATE_FILE)
        observe(events.Ready(devices=len(hosted.devices)))
        while not stopping.wait(CHECK_INTERVAL_S):
            hosted.verify_running()
    return 0
