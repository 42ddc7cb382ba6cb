from __future__ import annotations

import pkgutil

import pytest
from serial import urlhandler

from keyrig.base.errors import RigFileInvalid
from keyrig.config.port_urls import KINDS, require_port_url
from keyrig.config.rig_file import emulated_home_text, parse_rig

GOOD = [
    "/dev/ttyUSB0",
    "COM3",
    "emulated:",
    "socket://bridge:4001",
    "SOCKET://[fe80::1]:4001",
    "socket://10.0.0.7:1?logging=debug",
    "rfc2217://bridge:65535?timeout=5&ign_set_control",
    "spy:///dev/ttyUSB0?file=log.txt&raw",
    "alt:///dev/ttyUSB0?class=PosixPollSerial",
    "hwgrep://0403:6001",
    "cp2110://0001:004a:00",
    "loop://",
]
BAD = [
    ("socket://bridge", "names no port; write socket://HOST:PORT"),
    ("rfc2217://bridge/", "names no port; write rfc2217://HOST:PORT"),
    ("socket://bridge:", "names no port"),
    ("socket://bridge:99999", "not a number of 1 to 65535"),
    ("socket://bridge:0", "not a number of 1 to 65535"),
    ("socket://bridge:telnet", "not a number of 1 to 65535"),
    ("socket://:4001", "names no host"),
    ("socket://[::1:4001", "cannot be read as a URL"),
    ("socket://" + "b" * 64 + ":1", "cannot be a host's name"),
    ("socket://b:1?baud=9600", "has no option 'baud'; write one of logging"),
    ("socket://b:1?logging=loud", "has no level 'loud'"),
    ("rfc2217://b:1?timeout=inf", "timeout cannot be 'inf'"),
    ("rfc2217://b:1?timeout=soon", "timeout cannot be 'soon'"),
    ("spy:///dev/ttyUSB0?fle=log", "has no option 'fle'"),
    ("spy://", "names nothing behind spy://"),
    ("carrier-pigeon://home", "carrier-pigeon:// is no kind of port"),
    ("://home", "is no kind of port"),
    ("/dev/tty\0", "NUL"),
]


@pytest.mark.parametrize("url", GOOD)
def test_url_that_can_name_a_port_is_taken_as_it_is(url: str) -> None:
    assert require_port_url(url) == url


@pytest.mark.parametrize(("url", "said"), BAD)
def test_url_that_can_name_no_port_is_told_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        require_port_url(url)
    assert str(caught.value).count("; ") == 1


def test_every_kind_that_pyserial_has_is_known() -> None:
    found = {each.name for each in pkgutil.iter_modules(urlhandler.__path__)}
    assert {f"protocol_{kind}" for kind in KINDS} == found


@pytest.mark.parametrize(("url", "said"), BAD)
def test_rig_file_with_such_a_url_is_refused_with_its_line(url: str, said: str) -> None:
    written = url.replace("\0", "\\u0000")
    text = emulated_home_text().replace('url = "emulated:"', f'url = "{written}"', 1)
    with pytest.raises(RigFileInvalid, match=f"home, line [0-9]+: .*{said}"):
        parse_rig(text, "home")
