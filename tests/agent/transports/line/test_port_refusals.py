"""What a port that cannot be opened is told as: each kind with a real one, where there is one."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import termios
import threading
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import serial
from serial.urlhandler import protocol_socket

from keyrig.base.errors import DeviceUnavailable, PortBusy, PortMissing, RigError, RigFileInvalid
from keyrig.transports.line.port_refusals import refusal
from keyrig.transports.line.serial_port import Port

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
OPENING = f"""
import os, sys
from keyrig.base.errors import RigError
from keyrig.transports.line.serial_port import Port
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
port = Port(sys.argv[1])
try:
    port.open()
except RigError as error:
    print(type(error).__name__, error)
"""
HOLDING = """
import fcntl, os, sys, termios
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
if "flock" in sys.argv:
    fcntl.flock(port, fcntl.LOCK_EX)
if "exclusive" in sys.argv:
    fcntl.ioctl(port, termios.TIOCEXCL)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="path")
def fixture_path() -> Iterator[str]:
    """The path of a pty that is a serial port to whoever opens it."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


@pytest.fixture(name="closed_port")
def fixture_closed_port() -> Iterator[int]:
    """A TCP port that nobody listens at, and that nobody else takes meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def refused(url: str, *, baud: int = 9600) -> RigError:
    port = Port(url, baud=baud)
    with pytest.raises(RigError) as caught:
        port.open()
    assert not port.is_open
    assert "\n" not in str(caught.value)
    return caught.value


def said_without_privilege(path: str) -> str:
    """Open a port in a process that no privilege of this one's user helps."""
    done = subprocess.run(
        [sys.executable, "-c", OPENING, path], check=True, capture_output=True, text=True
    )
    return done.stdout


@contextlib.contextmanager
def held_by_another(path: str, *how: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, path, *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate()


@pytest.mark.parametrize("how", [("flock",), ("flock", "exclusive")])
def test_port_that_another_program_holds_is_busy(path: str, how: tuple[str, ...]) -> None:
    with held_by_another(path, *how):
        error = refused(path)
    assert isinstance(error, PortBusy)
    assert f"{path}: in use by another program" in str(error)


def test_port_that_another_program_marked_exclusive_is_busy(path: str) -> None:
    Path(path).chmod(0o666)
    with held_by_another(path, "exclusive"):
        assert said_without_privilege(path).startswith("PortBusy")


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full"])
def test_device_that_is_no_terminal_is_no_serial_port(path: str) -> None:
    error = refused(path)
    assert isinstance(error, DeviceUnavailable)
    assert str(error) == f"{path}: is not a serial port; correct the rig file's url"


@pytest.mark.parametrize("kind", ["a regular file", "a folder", "a FIFO", "a UNIX socket"])
@pytest.mark.parametrize("scheme", ["", "spy://"])
def test_file_that_is_no_port_is_called_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, scheme: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "it"
    if kind == "a regular file":
        path.write_bytes(b"kept")
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("it")
    error = refused(f"{scheme}{path}")
    assert isinstance(error, DeviceUnavailable)
    assert f"is not a serial port, but {kind}; correct the rig file's url" in str(error)
    assert kind != "a regular file" or path.read_bytes() == b"kept"


@pytest.mark.parametrize(
    "name", ["none", "plain/none", "loop", "n" * 300, "dangling"], ids=lambda name: name[:8]
)
def test_path_that_leads_nowhere_is_a_missing_port(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("unplugged")
    error = refused(str(tmp_path / name))
    assert isinstance(error, PortMissing)
    assert "connect the adapter or correct the rig file's url" in str(error)


def test_port_without_permission_names_the_group_and_the_mend(path: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a port to a group")
    os.chown(path, 0, 20)
    Path(path).chmod(0o060)
    group = subprocess.run(["getent", "group", "20"], check=True, capture_output=True, text=True)
    name = group.stdout.split(":")[0]
    said = said_without_privilege(path)
    assert said.startswith("DeviceUnavailable")
    assert f"no permission to open the port, which is for the group {name}; " in said
    assert f"`sudo usermod -aG {name} nobody`, then sign in anew" in said


def test_port_that_no_group_may_use_asks_for_a_rule(path: str) -> None:
    Path(path).chmod(0)
    said = said_without_privilege(path)
    assert "no permission to open the port, which is for no group" in said
    assert "udev rule" in said


def test_address_where_nothing_listens_is_named(closed_port: int) -> None:
    for kind in ("socket", "rfc2217"):
        error = refused(f"{kind}://127.0.0.1:{closed_port}")
        assert isinstance(error, PortMissing)
        assert f"nothing listens at 127.0.0.1:{closed_port} (connection refused)" in str(error)
        assert "is the bridge on?" in str(error)


def test_host_that_nobody_knows_is_named() -> None:
    error = refused("socket://no-such-host.invalid:4001")
    assert isinstance(error, PortMissing)
    assert "no-such-host.invalid" in str(error)
    assert "connect the adapter" not in str(error)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (socket.EAI_NONAME, "no host is called bridge"),
        (socket.EAI_AGAIN, "cannot be looked up at this moment"),
    ],
)
def test_name_that_is_wrong_is_not_one_that_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, "as the resolver says it")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert said in str(refused("socket://bridge:4001"))


def test_host_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_socket, "POLL_TIMEOUT", 0.2)
    with contextlib.ExitStack() as stack:
        # A full queue takes no more connections and says nothing.
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
        error = refused(f"socket://127.0.0.1:{address[1]}")
    assert isinstance(error, PortMissing)
    assert f"127.0.0.1:{address[1]} does not answer; is the bridge on" in str(error)


@pytest.mark.filterwarnings(r"ignore:set(Daemon|Name)\(\):DeprecationWarning")
def test_server_without_rfc2217_is_given_up_in_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rfc2217://127.0.0.1:{silent.getsockname()[1]}?timeout=0.2"
        error = refused(url)
    assert isinstance(error, DeviceUnavailable)
    assert "does not answer as RFC 2217 has it" in str(error)
    assert not [each for each in threading.enumerate() if "RFC 2217" in each.name]


def test_peer_that_hangs_up_at_once_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"

        def hang_up() -> None:
            client, _ = listener.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()

        other = threading.Thread(target=hang_up)
        other.start()
        port = Port(url)
        with contextlib.suppress(RigError):
            port.open()
        other.join()
        port.close()
        assert not port.is_open


def test_url_that_makes_no_sense_is_the_rig_files_fault() -> None:
    for url in ("carrier-pigeon://home", "socket://bridge", "socket://b:99999", "/dev/tty\0"):
        assert isinstance(refused(url), RigFileInvalid)
    for url in ("hwgrep://(", "alt:///dev/null?class=Foo"):
        error = refused(url)
        assert isinstance(error, RigFileInvalid)
        assert "not a port" in str(error)


def test_file_of_an_option_is_named_itself(path: str, tmp_path: Path) -> None:
    log = tmp_path / "none" / "log"
    error = refused(f"spy://{path}?file={log}")
    assert isinstance(error, RigFileInvalid)
    assert f"{log} cannot be written" in str(error)


def test_adapter_that_is_not_there_is_missing_by_its_pattern() -> None:
    assert isinstance(refused("hwgrep://no-such-adapter"), PortMissing)


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.EIO, DeviceUnavailable, "does not take its settings"),
        (errno.EINVAL, RigFileInvalid, "does not do 9600 baud"),
        (errno.ENODEV, PortMissing, "no such device"),
        (errno.ENOTTY, DeviceUnavailable, "is not a serial port"),
    ],
)
@pytest.mark.parametrize("call", ["tcgetattr", "tcsetattr"])
def test_what_termios_raises_is_told(
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[RigError],
    said: str,
    call: str,
) -> None:
    def fail(*_: Any) -> Any:
        raise termios.error(number, os.strerror(number))

    monkeypatch.setattr(termios, call, fail)
    error = refused(path)
    assert type(error) is kind
    assert said in str(error)


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.EOVERFLOW, "as the driver says it"),
        OSError("without a number"),
        OverflowError("unsigned"),
        TypeError("int"),
        KeyError("x"),
        RuntimeError("driver\nof two lines"),
        serial.SerialException("in the module's own words"),
        UnicodeEncodeError("ascii", "ü", 0, 1, "not in range"),
    ],
    ids=lambda raised: type(raised).__name__,
)
@pytest.mark.parametrize("call", ["open", "TIOCEXCL"])
def test_whatever_is_raised_becomes_an_error_of_a_rig_and_leaves_nothing_open(
    path: str, monkeypatch: pytest.MonkeyPatch, raised: Exception, call: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise raised

    before = open_files()
    with monkeypatch.context() as patched:
        if call == "open":
            patched.setattr(serial.Serial, "open", fail)
        else:
            patched.setattr("keyrig.transports.line.serial_port.fcntl.ioctl", fail)
        refused(path)
    assert open_files() == before
    port = Port(path)
    port.open()
    port.close()


def test_limit_of_open_files_is_not_the_adapters_fault() -> None:
    error = refusal("/dev/ttyUSB0", 9600, OSError(errno.EMFILE, "Too many open files"))
    assert isinstance(error, DeviceUnavailable)
    assert "ulimit -n" in str(error)


def test_interruption_while_a_port_is_opened_closes_it(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    port = Port(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pipe", interrupt)
        with pytest.raises(KeyboardInterrupt):
            port.open()
    assert not port.is_open
    port.open()
    port.close()
