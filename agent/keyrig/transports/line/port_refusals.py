"""Errors of opening a port, as one error of the agent whose class says who must act."""

from __future__ import annotations

import errno
import grp
import importlib.util
import os
import pwd
import socket
import stat
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

import serial

from gbcs.printable import printable
from keyrig.base.errors import DeviceUnavailable, PortBusy, PortMissing, RigError, RigFileInvalid
from keyrig.config.port_urls import (
    NETWORK_KINDS,
    PortURLUnusable,
    host_and_port,
    kind_of,
    require_port_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BUSY: Final = frozenset({errno.EBUSY, errno.EAGAIN})
_MISSING: Final = frozenset(
    {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
)
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM})
_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
_KINDS_OF_FILES: Final = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a UNIX socket",
    stat.S_IFBLK: "a block device",
}
_GROUP_MAY_USE: Final = stat.S_IRGRP | stat.S_IWGRP
_LONGEST_TEXT: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The facts about a port that was not opened.

    Args:
        url: The port, as the rig file names it.
        baud: The bits per second that were asked for.
        causes: The exception and its causes, the outermost first.
        number: The system's error number, where there is one.
    """

    url: str
    baud: int
    causes: tuple[BaseException, ...]
    number: int | None

    @property
    def kind(self) -> str:
        """The URL's scheme, "" for a device path."""
        return kind_of(self.url)

    @property
    def path(self) -> str:
        """The device path in the URL, "" where there is none."""
        if not self.kind:
            return self.url
        if self.kind in {"spy", "alt"}:
            parts = urlsplit(self.url)
            return parts.netloc + parts.path
        return ""

    @property
    def is_in_pyserials_words(self) -> bool:
        """True if pyserial raised it itself, rather than passed something on."""
        return isinstance(self.causes[0], serial.SerialException)

    @property
    def text(self) -> str:
        """The exceptions' text, in one line of limited length."""
        error = self.causes[0]
        return printable(str(error) or type(error).__name__, _LONGEST_TEXT)


def refusal(url: str, baud: int, error: Exception) -> RigError:
    """Return the error that says why a port was not opened.

    Args:
        url: The port, as the rig file names it.
        baud: The bits per second that were asked for.
        error: The exception raised while it was opened or set up.

    Returns:
        PortBusy, PortMissing, DeviceUnavailable; or RigFileInvalid, where no adapter and no
        network could make it work.
    """
    causes = tuple(_causes(error))
    number = next((found for found in map(_number, causes) if found is not None), None)
    seen = _Seen(url=url, baud=baud, causes=causes, number=number)
    judges = _NETWORK_JUDGES if seen.kind in NETWORK_KINDS else _LOCAL_JUDGES
    for judge in (*_COMMON_JUDGES, *judges):
        found = judge(seen)
        if found is not None:
            return found
    if number is not None:
        return DeviceUnavailable(url, f"cannot be opened: {os.strerror(number).lower()}")
    return DeviceUnavailable(url, f"cannot be opened: {seen.text}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes: pyserial tells most things by text alone."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


def _number(error: BaseException) -> int | None:
    """Return the system's error number, where there is one."""
    if isinstance(error, socket.gaierror):
        return None
    if isinstance(error, OSError):
        return error.errno
    if isinstance(error, termios.error) and error.args and isinstance(error.args[0], int):
        return error.args[0]
    return None


def _busy(seen: _Seen) -> RigError | None:
    return PortBusy(seen.url) if seen.number in _BUSY else None


def _out_of_files(seen: _Seen) -> RigError | None:
    if seen.number not in _OUT_OF_FILES:
        return None
    mend = "raise the limit of open files (ulimit -n, LimitNOFILE=)"
    return DeviceUnavailable(seen.url, "no file can be opened any more", mend)


def _no_port_at_all(seen: _Seen) -> RigError | None:
    try:
        require_port_url(seen.url)
    except PortURLUnusable as fault:
        return RigFileInvalid(seen.url, fault.reason, fault.mend)
    return None


def _unknown_host(seen: _Seen) -> RigError | None:
    host, _ = host_and_port(seen.url)
    error = next((each for each in seen.causes if isinstance(each, socket.gaierror)), None)
    if error is None:
        return None
    if error.errno == socket.EAI_AGAIN:
        reason = f"the name {host} cannot be looked up at this moment"
        return PortMissing(seen.url, reason, "check the network, or write the host's address")
    reason = f"no host is called {host}"
    return PortMissing(seen.url, reason, "correct the rig file's url, or write the host's address")


def _unreachable(seen: _Seen) -> RigError | None:
    where = _address(seen.url)
    is_late = any(isinstance(each, TimeoutError) for each in seen.causes)
    if seen.number == errno.ECONNREFUSED:
        reason = f"nothing listens at {where} (connection refused)"
        return PortMissing(
            seen.url, reason, "is the bridge on? If it is, correct the rig file's url"
        )
    if is_late or seen.number == errno.ETIMEDOUT:
        reason = f"{where} does not answer"
        return PortMissing(seen.url, reason, "is the bridge on, and in this network?")
    if seen.number is not None:
        reason = f"{where} cannot be reached ({os.strerror(seen.number).lower()})"
        return PortMissing(seen.url, reason, "check the network, and that the bridge is on")
    return None


def _not_rfc2217(seen: _Seen) -> RigError | None:
    if seen.kind != "rfc2217":
        return None
    where = _address(seen.url)
    if seen.is_in_pyserials_words:
        return DeviceUnavailable(
            seen.url,
            f"what listens at {where} does not answer as RFC 2217 has it",
            "switch RFC 2217 on in the bridge, or write socket:// for a plain TCP port",
        )
    return DeviceUnavailable(
        seen.url,
        f"the bridge at {where} refuses the line's settings ({seen.text})",
        "correct the rig file's baud, or what the bridge allows",
    )


def _address(url: str) -> str:
    host, port = host_and_port(url)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _other_file(seen: _Seen) -> RigError | None:
    """Return the error for a file in the URL's options, such as the output of spy://."""
    for each in seen.causes:
        if isinstance(each, OSError) and each.filename not in {None, seen.path}:
            name = printable(str(each.filename))
            reason = f"{name} cannot be written ({(each.strerror or '').lower()})"
            return RigFileInvalid(seen.url, reason, "name another file in the url")
    return None


def _no_terminal(seen: _Seen) -> RigError | None:
    try:
        mode = Path(seen.path).stat().st_mode
    except (OSError, ValueError):
        mode = 0
    kind = _KINDS_OF_FILES.get(stat.S_IFMT(mode)) if seen.path else None
    if seen.number != errno.ENOTTY and (kind is None or seen.number in _DENIED):
        return None
    reason = f"is not a serial port, but {kind}" if kind else "is not a serial port"
    return DeviceUnavailable(seen.url, reason, "correct the rig file's url")


def _missing(seen: _Seen) -> RigError | None:
    if seen.number in _MISSING:
        return PortMissing(seen.url, os.strerror(seen.number or 0).lower())
    if seen.kind == "hwgrep" and seen.is_in_pyserials_words and seen.number is None:
        return PortMissing(seen.url, "no port matches")
    return None


def _denied(seen: _Seen) -> RigError | None:
    """Return the error for a denied port, with the group whose members may use it."""
    if seen.number not in _DENIED:
        return None
    reason = "no permission to open the port"
    try:
        status = Path(seen.path).stat()
    except OSError:
        return DeviceUnavailable(seen.url, reason, "let this user look into the port's folder")
    user, group = _user(), _group(status.st_gid)
    if status.st_mode & _GROUP_MAY_USE != _GROUP_MAY_USE or status.st_gid == 0:
        reason += f", which is for no group that {user} could join"
        mend = (
            f"let a group use it by a udev rule (GROUP=, MODE=0660), and add {user} to that group"
        )
        return DeviceUnavailable(seen.url, reason, mend)
    reason += f", which is for the group {group}"
    if status.st_gid in {os.getegid(), *os.getgroups()}:
        reason += f", of which {user} is"
        mend = "see what else forbids it: a container, or DeviceAllow= of the service"
    elif _is_member(user, status.st_gid):
        mend = f"{user} was added to it meanwhile: sign in anew, or restart the service"
    else:
        mend = f"`sudo usermod -aG {group} {user}`, then sign in anew"
    return DeviceUnavailable(seen.url, reason, mend)


def _refused_settings(seen: _Seen) -> RigError | None:
    if seen.number == errno.EIO:
        return DeviceUnavailable(
            seen.url,
            "the port does not take its settings (input/output error)",
            "plug the adapter in anew, or name a port that has hardware behind it",
        )
    is_by_pyserial = isinstance(seen.causes[0], (ValueError, OverflowError))
    if seen.number == errno.EINVAL or (not seen.kind and is_by_pyserial):
        reason = f"the port does not do {seen.baud} baud"
        return RigFileInvalid(seen.url, reason, "write a baud that it has in the rig file")
    return None


def _no_handler(seen: _Seen) -> RigError | None:
    if seen.kind == "cp2110" and importlib.util.find_spec("hid") is None:
        reason = "cp2110:// needs the Python package hidapi"
        return DeviceUnavailable(seen.url, reason, "install it beside keyrig")
    if seen.kind and seen.number is None and not seen.is_in_pyserials_words:
        mend = "write a device path or a pyserial URL"
        return RigFileInvalid(seen.url, f"not a port: {seen.text}", mend)
    return None


_Judge: TypeAlias = "Callable[[_Seen], RigError | None]"
_COMMON_JUDGES: Final[tuple[_Judge, ...]] = (_busy, _out_of_files, _no_port_at_all)
_NETWORK_JUDGES: Final[tuple[_Judge, ...]] = (_unknown_host, _unreachable, _not_rfc2217)
_LOCAL_JUDGES: Final[tuple[_Judge, ...]] = (
    _other_file,
    _no_terminal,
    _missing,
    _denied,
    _refused_settings,
    _no_handler,
)
"""Each recognises one kind of fault; the first that recognises it decides."""


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _is_member(user: str, group: int) -> bool:
    try:
        return user in grp.getgrgid(group).gr_mem
    except KeyError:
        return False
