"""`keyrig serve`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyrig.cli.shared_options import json_option

if TYPE_CHECKING:
    from keyrig.api.server import Listening
    from keyrig.config.settings import Settings

SCHEMA = 1
SWITCH_S = 0.001


@click.command()
@click.argument(
    "rigs",
    nargs=-1,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="[RIG]...",
)
@click.option(
    "--listen",
    "listening",
    metavar="HOST:PORT|unix:PATH",
    help="Where to listen, whatever the settings say; port 0 takes one that is free.",
)
@click.option("--openapi", is_flag=True, help="Print the API's OpenAPI document, and end.")
@json_option
def serve(rigs: tuple[Path, ...], listening: str | None, *, openapi: bool, as_json: bool) -> int:
    """Serve the HTTP API for handheld tools and dashboards, with its page.

    Serves RIGs, or those of the settings, or the emulated home. Prints one line with its address
    once it answers. Each request needs a token: `keyrig token create NAME --scope read`.
    """
    if openapi:
        from keyrig.api.application import openapi_text

        click.echo(openapi_text(), nl=False)
        return 0
    from keyrig.api.api_service import Service
    from keyrig.api.server import Server, alone, listen
    from keyrig.cli.watching import watching
    from keyrig.config.needed_extras import require_of_upstreams
    from keyrig.config.places import find_data_folder

    # A thread of a run may hold the interpreter's lock for this long while the event loop waits.
    sys.setswitchinterval(SWITCH_S)
    settings, data_folder = _settings(listening), find_data_folder().absolute()
    require_of_upstreams(settings)
    files = rigs or tuple(data_folder / Path(path).expanduser() for path in settings.serve.rigs)
    with watching(as_json=as_json), alone(data_folder):
        _warn_of_exposure(data_folder)
        socket = listen(settings.serve, data_folder)
        try:
            service = Service(data_folder=data_folder, settings=settings, rig_files=files)
        except BaseException:
            socket.close()
            raise
        try:
            server = Server(service, socket)
            server.load()
            server.serve_until_stopped(
                lambda: _print_address(socket, service_rigs(service), as_json)
            )
        finally:
            socket.close()
            service.close()
    return 0


def _warn_of_exposure(data_folder: Path) -> None:
    """Log a warning if others than its owner can reach the home folder's files."""
    from structlog import get_logger

    from keyrig.base.private_files import exposure_of

    exposure = exposure_of(data_folder)
    if exposure is not None:
        get_logger(__name__).warning(
            "others may get at the home", data_folder=str(data_folder), what=str(exposure)
        )


def service_rigs(service: Any) -> list[str]:
    """Return the names of the rigs that are served."""
    return [served.name for served in service.rigs.all()]


def _settings(listening: str | None) -> Settings:
    from pydantic import ValidationError

    from keyrig.config.settings import ServeSettings, load_settings

    settings = load_settings()
    if listening is None:
        return settings
    try:
        serve_settings = ServeSettings(**{**settings.serve.model_dump(), "listen": listening})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(reason, param_hint="--listen") from None
    return settings.model_copy(update={"serve": serve_settings})


def _print_address(listening: Listening, rigs: list[str], as_json: bool) -> None:  # noqa: FBT001 - one call
    if as_json:
        click.echo(
            json.dumps({"schema": SCHEMA, "type": "serving", "url": listening.url, "rigs": rigs})
        )
    else:
        click.echo(f"serving {', '.join(rigs)} on {listening.url}")
