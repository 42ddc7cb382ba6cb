"""Validation of ports' URLs, before anything is opened."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

KINDS: Final = frozenset({"socket", "rfc2217", "spy", "loop", "alt", "hwgrep", "cp2110"})
"""The schemes that pyserial knows; a URL without one is a device path."""
NETWORK_KINDS: Final = frozenset({"socket", "rfc2217"})
_LOG_LEVELS: Final = frozenset({"debug", "info", "warning", "error"})
_OPTIONS: Final = {
    "socket": frozenset({"logging"}),
    "rfc2217": frozenset({"logging", "ign_set_control", "poll_modem", "timeout"}),
    "spy": frozenset({"file", "color", "raw", "all"}),
    "loop": frozenset({"logging"}),
    "alt": frozenset({"class"}),
}
"""The options allowed behind the ?, where pyserial reads any."""
_TIMEOUT_MAXIMUM_S: Final = 60
_PORT_MAXIMUM: Final = 0xFFFF


class PortURLUnusable(ValueError):
    """No port can be reached by a URL, whatever is plugged in or listens.

    Args:
        reason: What is wrong with it.
        mend: What to write.
    """

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(f"{reason}; {mend}")
        self.reason = reason
        self.mend = mend


def kind_of(url: str) -> str:
    """Return the scheme of a port's URL in lower case, "" for a device path."""
    return url.partition("://")[0].lower() if "://" in url else ""


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host and the TCP port that a `socket://` or `rfc2217://` URL names.

    Raises:
        PortURLUnusable: It does not name both.
    """
    kind = kind_of(url)
    mend = f"write {kind}://HOST:PORT"
    try:
        parts = urlsplit(url)
    except ValueError:
        raise PortURLUnusable("it cannot be read as a URL", mend) from None
    if not parts.hostname:
        raise PortURLUnusable("it names no host", mend)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        raise PortURLUnusable("it names no port", mend)
    if not port:
        raise PortURLUnusable(f"its port is not a number of 1 to {_PORT_MAXIMUM}", mend)
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise PortURLUnusable("its host cannot be a host's name", mend) from None
    return parts.hostname, port


def require_port_url(url: str) -> str:
    """Return `url` unchanged where it can name a port.

    Raises:
        PortURLUnusable: It cannot.
    """
    if "\0" in url:
        raise PortURLUnusable(
            "a port has no NUL in its name", "write a device path or a pyserial URL"
        )
    kind = kind_of(url)
    if not kind and "://" not in url:
        return url
    if kind not in KINDS:
        raise PortURLUnusable(
            f"{kind}:// is no kind of port",
            "write a device path, socket://HOST:PORT or rfc2217://HOST:PORT",
        )
    if kind in NETWORK_KINDS:
        host_and_port(url)
    elif kind != "loop" and not url.partition("://")[2]:
        raise PortURLUnusable(f"it names nothing behind {kind}://", "write a device path there")
    if kind in _OPTIONS:
        _require_options(kind, url)
    return url


def _require_options(kind: str, url: str) -> None:
    for option, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items():
        if option not in _OPTIONS[kind]:
            known = ", ".join(sorted(_OPTIONS[kind]))
            raise PortURLUnusable(f"{kind}:// has no option {option!r}", f"write one of {known}")
        if option == "logging" and values[0] not in _LOG_LEVELS:
            raise PortURLUnusable(
                f"logging has no level {values[0]!r}",
                f"write one of {', '.join(sorted(_LOG_LEVELS))}",
            )
        if option == "timeout" and not _is_timeout(values[0]):
            raise PortURLUnusable(
                f"timeout cannot be {values[0]!r}", f"write seconds, at most {_TIMEOUT_MAXIMUM_S}"
            )


def _is_timeout(text: str) -> bool:
    try:
        return 0 < float(text) <= _TIMEOUT_MAXIMUM_S
    except ValueError:
        return False
