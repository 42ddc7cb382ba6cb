"""The command line; each command's module is imported when it is called."""

from __future__ import annotations

import gc
import importlib
import sys
from typing import IO, Any, Final

import click

from keyrig.base.error_kinds import ExitCode, kind_of

COMMANDS: Final = {
    "run": "Carry out every duty that is due on a rig.",
    "cancel": "Have devices forget the replacements that they hold for later.",
    "deliver": "Carry commands that the DCC signed to a device, without any key.",
    "plan": "Show which duties are due, why, and until when.",
    "status": "Show devices, duties, deadlines and SMI Status.",
    "rules": "Show the rule set: duties, deadlines, and how ambiguous texts are read.",
    "facts": "Show and record what is known of devices.",
    "report": "Write a report of a run: HTML, JSON, JUnit, or evidence.",
    "verify-evidence": "Check an evidence file, on any machine, and say what it proves.",
    "outbox": "Show what upstreams were not told yet, tell it, and take back what they refused.",
    "emulate": "Host a rig's emulated devices until stopped.",
    "inspect": "Decode a GBCS message.",
    "conformance": "Check a folder of reference messages against a key store.",
    "pki": "Make, show and move keys and certificates.",
    "radio": "List, look at, open, back up and restore ZigBee radios.",
    "serve": "Serve the HTTP API for handheld tools and dashboards.",
    "token": "Make, list and revoke tokens of the API.",
    "settings": "Show every setting: what it does, what it is, where that comes from.",
    "doctor": "Look at ports, radios, keys, ledger and clock; ask devices who they are.",
}
"""Each command's name and short help; with _ for - it names the function, in NAME_command.py."""


class ExtraMissing(click.ClickException):
    """A command needs an extra that is not installed."""

    exit_code = ExitCode.USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error's one line."""
        click.echo(f"keyrig {self.message}", file=file, err=file is None)


class LazyGroup(click.Group):
    """Lists commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a command, importing its module; None if there is none of the name."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"keyrig.cli.{name}_command")
        command: click.Command = getattr(module, name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command.

        Raises:
            ExtraMissing: A module of an extra is not installed.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            from keyrig.base.installed_extras import extra_missing, extra_with

            command = str(ctx.invoked_subcommand)
            extra = extra_with(error.name or "", command)
            if extra is None:
                raise
            raise ExtraMissing(str(extra_missing(extra, command))) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the list of commands from their short helps alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


EXIT_CODES: Final = """\b
Exit codes:
  0  all that was due is done
  1  unexpected error
  2  wrong usage or settings
  3  a duty failed, or a check found something wrong
  4  a person must act: port missing, wrong device, key locked
  5  done, but not yet reported upstream
  130  stopped; what is not done goes on with the next run"""


@click.group(
    cls=LazyGroup,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="keyrig", message="keyrig %(version)s")
def cli() -> None:
    """Carry out the post-commissioning duties of GB smart meters and hubs.

    Without a RIG, commands use the emulated home: six devices and a test PKI below KEYRIG_HOME.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    # A command loads tens of thousands of objects that stay: looking for garbage among them each
    # 700 takes a tenth of a short one.
    gc.set_threshold(20_000, 20, 20)
    code = run_cli(arguments)
    # Without this the interpreter's exit collects garbage among all that was loaded, which takes
    # a quarter of a short command.
    gc.freeze()
    sys.exit(code)


def run_cli(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; a known error is one line on stderr."""
    try:
        result: Any = cli.main(args=arguments, prog_name="keyrig", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("keyrig: stopped; what is not done goes on with the next run", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        from gbcs.protocol_errors import KeyrigError

        if not isinstance(error, KeyrigError):
            raise
        click.echo(f"keyrig: {error}", err=True)
        return kind_of(error).exit_code
    return result if isinstance(result, int) else 0
