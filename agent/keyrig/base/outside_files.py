"""Reading untrusted text, JSON and TOML from files and request bodies.

Whatever comes from outside is read here and nowhere else. How large, how deep and how long it may
be is decided before a parser sees it, so that reading ends soon, and by `Unreadable` alone.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gbcs.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Location = tuple[str | int, ...]

FILE_MAXIMUM_OCTETS: Final = 16 << 20
"""The default maximum of a file."""
TOML_MAXIMUM_OCTETS: Final = 1 << 20
"""A rig file of 3,000 devices; the slowest text of this size takes the parser some 2 s."""
DEPTH_MAXIMUM: Final = 64
"""Objects, arrays and tables within each other."""
KEY_PARTS_MAXIMUM: Final = 32
"""The parts of a dotted key of TOML; the parser takes their number squared."""
INTEGER_DIGITS_MAXIMUM: Final = 20
"""What 64 bits have, with sign or without."""

_CHUNK_OCTETS: Final = 1 << 16
"""A larger buffer takes longer to get than a message takes to verify."""
_NAME_SHOWN: Final = 60
_UTF_16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_PADDING: Final = "\0\x1a"
"""What fills a last block up, and what ends a text under CP/M and DOS."""
_PEM_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9 #/]{1,60})-----")
_PEM_LINE_CHARACTERS: Final = 64
_INTEGERS: Final = range(-(1 << 63), 1 << 64)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Unreadable(ValueError):
    """Input that cannot be used; neither its text nor a secret is quoted.

    Args:
        reason: What is wrong, in a few words.
        mend: What to do about it.
        line: The line on which it stands, from 1, or None.
        location: The keys, and indexes from 0, that lead to it, where it is within a document.
        is_missing: Whether there is no such file.
    """

    def __init__(
        self,
        reason: str,
        mend: str,
        *,
        line: int | None = None,
        location: Location = (),
        is_missing: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.mend = mend
        self.line = line
        self.location = location
        self.is_missing = is_missing

    def __str__(self) -> str:
        return self.reason if self.line is None else f"{self.reason}, line {self.line}"


def read_octets(path: Path, *, maximum: int = FILE_MAXIMUM_OCTETS) -> bytes:
    """Read a whole file of `maximum` octets at most.

    Raises:
        Unreadable: It is not there, may not be read, or is longer.
    """
    chunks: list[bytes] = []
    left = maximum + 1
    try:
        with path.open("rb") as file:
            while left and (chunk := file.read(min(_CHUNK_OCTETS, left))):
                chunks.append(chunk)
                left -= len(chunk)
    except OSError as error:
        raise Unreadable(
            f"cannot be read: {error.strerror}",
            "name a file that is there",
            is_missing=isinstance(error, FileNotFoundError),
        ) from None
    except ValueError:
        raise Unreadable("cannot be read: no path has a NUL", "name a file that is there") from None
    if not left:
        raise Unreadable(f"more than {maximum} octets", "name the right file")
    return b"".join(chunks)


def read_text(path: Path, *, maximum: int = FILE_MAXIMUM_OCTETS) -> str:
    """Read a whole text file; as `read_octets` and `text_of`.

    Raises:
        Unreadable: As those.
    """
    return text_of(read_octets(path, maximum=maximum))


def text_of(octets: bytes) -> str:
    r"""Decode text as editors of any system write it; lines end in ``\n``.

    It is UTF-8, with a byte order mark or without, or UTF-16 with one. NUL octets and Ctrl-Z at
    its end, by which some systems fill a last block up, are no part of it.

    Raises:
        Unreadable: It is in another encoding, or has a NUL within.
    """
    encoding = _UTF_16.get(octets[:2])
    if encoding is not None:
        octets = octets[2:]
        if len(octets) % 2 and octets[-1:] in {b"\0", b"\x1a"}:
            # A program that knows octets alone put its mark behind the last character.
            octets = octets[:-1]
    else:
        octets = octets.removeprefix(codecs.BOM_UTF8)
    try:
        text = octets.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        before = octets[: error.start].decode(encoding or "utf-8", "replace")
        raise Unreadable(
            "no text in UTF-16" if encoding else "no text in UTF-8",
            "save it as UTF-8",
            line=_lines(before).count("\n") + 1,
        ) from None
    text = _lines(text)
    end = len(text.rstrip(_PADDING + " \t\n"))
    padding = re.search(f"[{_PADDING}]", text[end:])
    if padding:
        text = text[: end + padding.start()]
    if "\0" in text:
        raise Unreadable(
            "a NUL within: no text, or UTF-16 without a byte order mark",
            "save it as UTF-8",
            line=text.count("\n", 0, text.index("\0")) + 1,
        )
    return text


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def without_padding(octets: bytes) -> bytes:
    """Return a text document without NUL octets and Ctrl-Z at its end, not decoded; as `text_of`.

    What a document of UTF-16 or UTF-8 has before its padding stays as it is, octet by octet.
    """
    encoding = _UTF_16.get(octets[:2], "latin-1")
    even = len(octets) - len(octets) % 2 if encoding != "latin-1" else len(octets)
    text = octets[:even].decode(encoding, "surrogatepass")
    end = text.rstrip(_PADDING + " \t\r\n")
    has_padding = re.search(f"[{_PADDING}]", text[len(end) :]) or octets[even:] in {b"\0", b"\x1a"}
    return end.encode(encoding, "surrogatepass") if has_padding else octets


def pem_of(octets: bytes) -> bytes:
    """Return the PEM blocks within text as `pem_blocks`, one behind the other.

    What has none, or one without its end, is returned as it is.
    """
    blocks, is_whole = _blocks(octets)
    return b"".join(block for _, block in blocks) if blocks and is_whole else octets


def pem_blocks(octets: bytes) -> list[tuple[str, bytes]]:
    """Return the PEM blocks within text with their labels, in the form that every reader takes.

    Text around them is left out, and so is white space before lines, behind them and within
    lines of base64. What follows the beginning of a block that does not end is left out too.

    Source: RFC 7468, 2 and 3 (what parsers may take, and what generators write).
    """
    return _blocks(octets)[0]


def _blocks(octets: bytes) -> tuple[list[tuple[str, bytes]], bool]:
    """Return the blocks, and whether each that begins ends."""
    try:
        text = text_of(octets)
    except Unreadable:
        # Text around the blocks may be in any encoding; they themselves are ASCII.
        text = _lines(octets.decode("latin-1"))
    blocks: list[tuple[str, bytes]] = []
    at = 0
    while begin := _PEM_BEGIN.search(text, at):
        label = begin[1]
        closing = f"-----END {label}-----"
        end = text.find(closing, begin.end())
        if end < 0:
            return blocks, False
        lines = [begin[0], *_pem_content(text[begin.end() : end]), closing]
        blocks.append((label, ("\n".join(lines) + "\n").encode()))
        at = end + len(closing)
    return blocks, True


def _pem_content(text: str) -> Iterable[str]:
    """Return a block's lines; those of older keys begin with headers, which stay as they are."""
    lines = [line.strip() for line in text.split("\n")]
    headers = [line for line in lines if ":" in line]
    base64 = "".join("".join(line.split()) for line in lines if ":" not in line)
    if headers:
        yield from headers
        yield ""
    for start in range(0, len(base64), _PEM_LINE_CHARACTERS):
        yield base64[start : start + _PEM_LINE_CHARACTERS]


def parse_json(written: bytes | str) -> Any:
    """Parse a JSON document.

    Raises:
        Unreadable: It is none, an object has a key twice, an integer needs more than 64 bits, a
            number is none or too large, a text has half a character (a lone surrogate), or it
            is nested too deep.
    """
    text = text_of(written) if isinstance(written, bytes) else written
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg}", "correct it", line=error.lineno) from None
    except RecursionError:
        raise _too_deep() from None
    may_be_odd = "\\u" in text or isinstance(written, str)
    if may_be_odd or text.count("[") + text.count("{") > DEPTH_MAXIMUM:
        _check(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value] # set.add gives None
        raise Unreadable(f"key '{printable(twice, _NAME_SHOWN)}' stands twice", "keep one of both")
    return made


def _integer(digits: str) -> int:
    if len(digits) <= INTEGER_DIGITS_MAXIMUM and (value := int(digits)) in _INTEGERS:
        return value
    raise Unreadable("an integer of more than 64 bits", "correct it")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Unreadable("a number that is too large", "correct it")
    return value


def _constant(name: str) -> float:
    raise Unreadable(f"{name} is no number of JSON", "correct it")


def _too_deep(line: int | None = None) -> Unreadable:
    return Unreadable(f"nested deeper than {DEPTH_MAXIMUM}", "correct it", line=line)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML text.

    Raises:
        Unreadable: It is none or too long, a key has too many parts, an integer needs more than
            64 bits, a number is none, a text has a NUL, a time is not within the years 1 to
            9999 UTC, or it is nested too deep.
    """
    _check_extent(text)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        reason = str(error).removesuffix(found.group(0)) if found else str(error)
        line = int(found.group(1)) if found and found.group(1) else text.count("\n") + 1
        raise Unreadable(
            f"not TOML: {printable(reason, 200)}", "correct the syntax", line=line
        ) from None
    except ValueError:
        # The parser lets int() refuse what has more digits than the interpreter reads.
        raise Unreadable("an integer of more than 64 bits", "correct it") from None
    except RecursionError:
        raise _too_deep() from None
    _check(values)
    return values


_MARKS: Final = re.compile(r'"""|\'\'\'|["\'#\[\]{}.]|[\n=,]+')
_DEEPER: Final = {"[": 1, "{": 1, "]": -1, "}": -1}
_STRING_ENDS: Final = {
    '"': re.compile(r'[^"\\\n]*(?:\\.[^"\\\n]*)*"'),
    "'": re.compile(r"[^'\n]*'"),
    '"""': re.compile(r'[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"{3,5}', re.DOTALL),
    "'''": re.compile(r"[^']*(?:'(?!'')[^']*)*'{3,5}"),
}


def _check_extent(text: str) -> None:
    """Refuse TOML text that is slow to parse, judged by its length, brackets and dots alone.

    What no TOML has, such as a string without its end, is left to the parser, which ends there.
    """
    if len(text) > TOML_MAXIMUM_OCTETS:
        raise Unreadable(f"more than {TOML_MAXIMUM_OCTETS} characters", "name the right file")
    depth, parts = 0, 1
    for mark, at in _marks(text):
        depth += _DEEPER.get(mark, 0)
        parts = parts + 1 if mark == "." else 1
        if depth > DEPTH_MAXIMUM:
            raise _too_deep(text.count("\n", 0, at) + 1)
        if parts > KEY_PARTS_MAXIMUM:
            raise Unreadable(
                f"a key of more than {KEY_PARTS_MAXIMUM} parts",
                "correct it",
                line=text.count("\n", 0, at) + 1,
            )


def _marks(text: str) -> Iterator[tuple[str, int]]:
    """Yield the structural marks of TOML text and their offsets, outside strings and comments."""
    at = 0
    while found := _MARKS.search(text, at):
        mark, at = found[0], found.end()
        if mark == "#":
            at = text.find("\n", at)
            if at < 0:
                return
        elif mark in _STRING_ENDS:
            end = _STRING_ENDS[mark].match(text, at)
            if end is None:
                return
            at = end.end()
        else:
            yield mark, found.start()


def _check(document: Any) -> None:
    """Refuse values that the syntax permits and the agent does not accept."""
    left: list[tuple[Any, Location]] = [(document, ())]
    while left:
        value, location = left.pop()
        if isinstance(value, (dict, list)) and len(location) >= DEPTH_MAXIMUM:
            raise _too_deep()
        if isinstance(value, dict):
            left += [(inner, (*location, key)) for key, inner in value.items()]
            value = "".join(value)
        elif isinstance(value, list):
            left += [(inner, (*location, index)) for index, inner in enumerate(value)]
        reason = _odd(value)
        if reason is not None:
            raise Unreadable(reason, "correct it", location=location)


def _odd(value: Any) -> str | None:
    """Return why a value that parses is refused, or None."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            return "a text with half a character"
        return "a text with a NUL" if "\0" in value else None
    if isinstance(value, datetime):
        try:
            value.astimezone(UTC)
        except OverflowError:
            return "a time before the year 1 or after 9999"
    if isinstance(value, int) and value not in _INTEGERS:
        return "an integer of more than 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}, which is no number"
    return None
