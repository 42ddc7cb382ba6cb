"""What an installation of keyrig with some extras brings, by the metadata of what is installed."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement


def plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def closure(requirement: str) -> frozenset[str]:
    """Return the distributions that a requirement brings, and all that those require."""
    seen: set[tuple[str, str]] = set()
    left = [(plain(Requirement(requirement).name), extra) for extra in _extras(requirement)]
    while left:
        name, extra = left.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for text in _requires(name):
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                left += [(plain(needed.name), each) for each in ("", *needed.extras)]
    return frozenset(name for name, _ in seen)


def outside_of(names: frozenset[str]) -> frozenset[str]:
    """Return the installed distributions that are none of `names`."""
    return frozenset(plain(each.name) for each in metadata.distributions()) - names


def _extras(requirement: str) -> tuple[str, ...]:
    return ("", *Requirement(requirement).extras)


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        # Of another platform or another version of Python, or an extra that is not here.
        return []
