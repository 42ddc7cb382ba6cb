"""`keyrig settings`."""

from __future__ import annotations

import click

from keyrig.cli.shared_options import json_option


@click.command()
@click.option("--example", is_flag=True, help="Print a settings file with every key, described.")
@json_option
def settings(*, example: bool, as_json: bool) -> int:
    """Show every setting: what it does, what it is, and where that comes from.

    The file is keyrig.toml below KEYRIG_HOME, or the one that KEYRIG_SETTINGS names. An
    environment variable overrides a key: KEYRIG_SERVE__LISTEN is listen of [serve]. Secrets are
    named by where they are kept, and never shown.
    """
    from keyrig.config.settings import read_settings
    from keyrig.config.settings_listing import example_lines
    from keyrig.documents.settings_document import SettingsDocument, settings_lines

    if example and as_json:
        raise click.UsageError("--example is TOML; leave --json away")
    if example:
        for line in example_lines():
            click.echo(line)
        return 0
    read = read_settings()
    if as_json:
        click.echo(SettingsDocument.of(read).to_json())
        return 0
    for line in settings_lines(read):
        click.echo(line)
    return 0
