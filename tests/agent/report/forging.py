"""Evidence files as somebody with a key of his own would make them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from keyrig.evidence.evidence_check import DutyVerdict, Verdict, check
from keyrig.evidence.evidence_file import read_evidence
from keyrig.evidence.evidence_key import EvidenceKey
from keyrig.evidence.evidence_lines import hash_of, sealed_octets, written

if TYPE_CHECKING:
    from collections.abc import Callable

Told: TypeAlias = list[tuple[str, dict[str, Any]]]


def bodies(octets: bytes) -> Told:
    """Give the kinds and bodies of a file's lines, but the seal."""
    lines = [json.loads(line) for line in octets.splitlines()[:-1]]
    return [(line["kind"], line["body"]) for line in lines]


def of_kind(told: Told, kind: str) -> list[dict[str, Any]]:
    """Give the bodies of one kind, which may be changed in place."""
    return [body for found, body in told if found == kind]


def forged(told: Told) -> bytes:
    """Chain and seal lines anew."""
    key = EvidenceKey(ec.generate_private_key(ec.SECP256R1()))
    told[0][1]["public_key"] = encoded(key.public_der)
    head = hash_of(list(written(told))[-1])
    lines = written([*told, ("seal", {"signature": encoded(key.sign(sealed_octets(head)))})])
    return b"".join(line + b"\n" for line in lines)


def changed(
    octets: bytes, kind: str, change: Callable[[dict[str, Any]], bool]
) -> tuple[bytes, int]:
    """Forge a file with one line changed, the first of a kind that `change` takes; name it."""
    told = bodies(octets)
    for number, (found, body) in enumerate(told, 1):
        if found == kind and change(body):
            return forged(told), number
    raise AssertionError(f"no line of kind {kind} was changed")


def verdict_of(octets: bytes) -> Verdict:
    """Say what a file proves."""
    return check(read_evidence(octets, "e.jsonl"))


def duty_of(verdict: Verdict, requirement: str) -> DutyVerdict:
    """Give the one duty of a requirement."""
    (duty,) = [each for each in verdict.duties if each.requirement == requirement]
    return duty


def reasons(verdict: Verdict) -> str:
    """Give all that does not hold, one line each."""
    return "\n".join(f"{finding.line}: {finding.reason}" for finding in verdict.findings)


def encoded(octets: bytes) -> str:
    """Write octets as a file does."""
    return base64.b64encode(octets).decode("ascii")


def flip(text: str, position: int) -> str:
    """Flip a bit of octets that are written so."""
    octets = bytearray(base64.b64decode(text))
    octets[position] ^= 1
    return encoded(bytes(octets))
