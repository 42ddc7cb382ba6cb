"""The form of an evidence file: JSON lines, each chained to the one before by its hash.

Theory of operation. Each line carries its number and, as `previous`, the SHA-256 of the line
before. A line has one canonical form (sorted keys, no spaces, ASCII), so equal content has equal
octets and an equal hash. The last line is the seal: a signature of a fixed prefix and its own
`previous`, which stands for every line before it (`evidence_key`, `evidence_file`).

What holds if chain and seal verify: since the holder of that key sealed the file, no line was
changed, added, removed or moved. A changed octet is reported at its line or at the next one; a
file whose end is cut off lacks its last line feed, or its seal.

What that does not prove:

- who sealed it. Anybody can make a key and seal a file: the fingerprint must be compared with the
  rig's, which `keyrig verify-evidence --key` demands;
- when it was sealed: the instants in it are those of the rig's clock;
- that what it says is true, or that nothing was left out before it was sealed. That is judged by
  `evidence_check`, from the signatures of the devices and by planning the duties anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyrig.base.errors import EvidenceBroken
from keyrig.base.outside_files import Unreadable, parse_json, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keyrig.documents.evidence_document import EvidenceBody

BEFORE_THE_FIRST: Final = "0" * 64
SEALED_PREFIX: Final = b"keyrig evidence 1\n"
"""Precedes the last hash in what the seal signs, so that the signature fits nothing else."""
LINE_MAXIMUM_OCTETS: Final = 1 << 20
FILE_MAXIMUM_OCTETS: Final = 512 << 20
_KEYS: Final = {"n", "kind", "previous", "body"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line; `number` counts from 1."""

    number: int
    kind: str
    body: dict[str, Any]


def chained(bodies: Iterable[EvidenceBody]) -> Iterator[bytes]:
    """Yield the lines of bodies, each with the hash of the one before; without line ends."""
    return written((body.line_kind, body.fields()) for body in bodies)


def written(bodies: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
    """Yield the lines of kinds and JSON bodies, chained; without line ends."""
    previous = BEFORE_THE_FIRST
    for number, (kind, body) in enumerate(bodies, 1):
        octets = _canonical({"n": number, "kind": kind, "previous": previous, "body": body})
        previous = hash_of(octets)
        yield octets


def hash_of(octets: bytes) -> str:
    """Return the SHA-256 of a line without its line end, 64 hexadecimal digits."""
    return hashlib.sha256(octets).hexdigest()


def sealed_octets(head: str) -> bytes:
    """Return the octets that the seal signs, from the hash of the last line before it."""
    return SEALED_PREFIX + head.encode("ascii")


def read_lines(octets: bytes, source: str) -> Iterator[tuple[Line, str]]:
    """Yield each line with its `previous`, checking its form and the chain.

    Raises:
        EvidenceBroken: Names the line and what is wrong with it.
    """
    if not octets.endswith(b"\n"):
        raise EvidenceBroken(source, octets.count(b"\n") + 1, "it does not end: the tail is cut")
    previous = BEFORE_THE_FIRST
    for number, text in enumerate(octets[:-1].split(b"\n"), 1):
        line = _line(text, source, number)
        if line["previous"] != previous:
            raise EvidenceBroken(
                source, number, "it does not follow the line before; one of both was changed"
            )
        if type(line["n"]) is not int or line["n"] != number:
            raise EvidenceBroken(source, number, f"it calls itself line {line['n']!r:.20}")
        yield Line(number=number, kind=line["kind"], body=line["body"]), previous
        previous = hash_of(text)


def as_written(octets: bytes) -> bytes:
    """Return an evidence file as it was written, whatever a transfer made of its line ends.

    Lines contain no control characters and are chained without their ends, so this can change
    nothing that the chain covers. Octets that are no text are returned as they are.
    """
    if octets.isascii() and b"\r" not in octets and octets.endswith(b"\n"):
        return octets
    try:
        return text_of(octets).encode()
    except Unreadable:
        return octets


def is_evidence(octets: bytes) -> bool:
    """Return True if at least one line has the form of a line of evidence."""
    for number, text in enumerate(octets.split(b"\n"), 1):
        try:
            _line(text, "", number)
        except EvidenceBroken:
            continue
        return True
    return False


def _line(text: bytes, source: str, number: int) -> dict[str, Any]:
    if len(text) > LINE_MAXIMUM_OCTETS:
        raise EvidenceBroken(source, number, f"it has {len(text)} octets")
    try:
        line = parse_json(text)
    except Unreadable as error:
        raise EvidenceBroken(source, number, f"it cannot be read: {error.reason}") from None
    if not isinstance(line, dict) or line.keys() != _KEYS or not isinstance(line["body"], dict):
        raise EvidenceBroken(source, number, "it is no line of evidence")
    if not isinstance(line["kind"], str) or not _is_canonical(line, text):
        raise EvidenceBroken(source, number, "it is not written in the one form of such a line")
    return line


def _is_canonical(line: dict[str, Any], text: bytes) -> bool:
    try:
        return _canonical(line) == text
    except (ValueError, RecursionError):
        # A number that JSON does not have, such as NaN, or nesting too deep to encode.
        return False


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")
