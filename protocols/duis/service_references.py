"""Service references, their variants, and the command variants that go with each.

Source: DUIS XML schema 5.4, `ServiceReferenceVariant` and the comments in it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, TypeVar

from lxml import etree

from duis.simple_types import TextType
from duis.xml_elements import Document, Structure, local_name, name_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class CommandVariant(enum.IntEnum):
    """What a request asks the DCC to make of it, and where that goes.

    Source: DUIS XML schema 5.4, `CommandVariant`.
    """

    SEND = 1
    """A non-critical request becomes a Command, sent over the SM WAN."""

    LOCAL = 2
    """A non-critical request becomes a Command, returned for local delivery."""

    SEND_AND_LOCAL = 3
    """Both of these."""

    TRANSFORM = 4
    """A critical request becomes a Pre-Command, returned to be signed."""

    SEND_SIGNED = 5
    """A Signed Pre-Command becomes a Command, sent over the SM WAN."""

    LOCAL_SIGNED = 6
    """A Signed Pre-Command becomes a Command, returned for local delivery."""

    SEND_AND_LOCAL_SIGNED = 7
    """Both of these."""

    NON_DEVICE = 8
    """The DCC answers by itself; no device is involved."""


NON_CRITICAL: Final = frozenset(
    {CommandVariant.SEND, CommandVariant.LOCAL, CommandVariant.SEND_AND_LOCAL}
)
CRITICAL: Final = frozenset({CommandVariant.TRANSFORM})
SIGNED: Final = frozenset(
    {
        CommandVariant.SEND_SIGNED,
        CommandVariant.LOCAL_SIGNED,
        CommandVariant.SEND_AND_LOCAL_SIGNED,
    }
)
NON_DEVICE: Final = frozenset({CommandVariant.NON_DEVICE})

_VARIANTS: Final = {
    CRITICAL | SIGNED: (
        "1.1.1 1.1.2 1.2.1 1.2.2 1.5 1.6 1.7 2.1 2.3 2.5 6.4.1 6.6 6.7 6.8 6.11 6.14.1 6.14.2 "
        "6.14.3 6.15.1 6.15.2 6.17 6.24.2 6.25 6.26 7.1 7.2 7.3 7.5 7.6 7.8 7.14 7.15 7.16 8.7.1 "
        "8.8.1 11.3"
    ),
    NON_CRITICAL: (
        "2.2 3.1 3.2 3.3 3.4 3.5 4.1.1 4.1.2 4.1.3 4.1.4 4.2 4.3 4.4.2 4.4.3 4.4.4 4.4.5 4.6.1 "
        "4.6.2 4.8.1 4.8.2 4.8.3 4.10 4.11.1 4.11.2 4.12.1 4.12.2 4.13 4.14 4.15 4.16 4.17 4.18 "
        "6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.7 6.2.8 6.2.9 6.2.10 6.4.2 6.5 6.12 6.13 6.18.1 6.18.2 "
        "6.20.1 6.20.2 6.21 6.22 6.23 6.24.1 6.27 6.28 6.29 6.30 6.31 6.32 7.4 7.7 7.9 7.10 7.11 "
        "7.12 7.13 8.7.2 8.8.2 8.9 8.11 8.12.1 8.12.2 9.1 11.2 14.1"
    ),
    NON_DEVICE: "5.1 5.2 5.3 8.2 8.3 8.4 8.6 8.13 8.14.1 8.14.2 8.14.3 8.14.4 11.1 11.4 12.1 12.2",
    frozenset({CommandVariant.TRANSFORM, CommandVariant.SEND_SIGNED}): "8.1.1",
    frozenset({CommandVariant.SEND}): "8.5",
}


def _by_variant() -> Iterator[tuple[str, frozenset[CommandVariant]]]:
    for allowed, variants in _VARIANTS.items():
        for variant in variants.split():
            yield variant, allowed


COMMAND_VARIANTS: Final = dict(_by_variant())
"""The command variants that each service reference variant allows."""


def service_reference_of(variant: str) -> str:
    """Return the service reference of a variant: 6.15 for 6.15.1, and 8.2 for 8.2."""
    return ".".join(variant.split(".")[:2])


class ServiceReferenceVariant(TextType[str]):
    """A service reference variant that DUIS 5.4 has."""

    def check(self, value: str) -> None:
        """Check DUIS has it."""
        if value not in COMMAND_VARIANTS:
            raise ValueError("no service reference variant of DUIS 5.4")

    def write(self, value: str) -> str:
        """Return it unchanged."""
        return value

    def read(self, text: str) -> str:
        """Read it."""
        self.check(text := text.strip())
        return text


SERVICE_REFERENCE_VARIANT: Final = ServiceReferenceVariant()


class Referenced(Structure[T]):
    """A structure with a ServiceReferenceVariant, before which its ServiceReference stands.

    The service reference follows from the variant, so no instance holds it.
    """

    def fill(self, element: etree._Element, value: T) -> None:
        """Write every field, and the service reference in its place."""
        super().fill(element, value)
        for child in element:
            if local_name(child) == "ServiceReferenceVariant":
                reference = etree.Element(name_beside(element, "ServiceReference"))
                reference.text = service_reference_of(child.text or "")
                child.addprevious(reference)

    def read_children(
        self, element: etree._Element, children: list[etree._Element], document: Document
    ) -> T:
        """Read every field, and check the service reference is the variant's."""
        tag = name_beside(element, "ServiceReference")
        variant_tag = name_beside(element, "ServiceReferenceVariant")
        tags = [child.tag for child in children]
        if tag not in tags:
            raise document.wrong(element, "ServiceReference is missing")
        at = tags.index(tag)
        if tags[at + 1 : at + 2] != [variant_tag]:
            raise document.wrong(children[at], "ServiceReferenceVariant does not follow it")
        variant = document.text(children[at + 1]).strip()
        if document.text(children[at]).strip() != service_reference_of(variant):
            raise document.wrong(children[at], "it is not that of the ServiceReferenceVariant")
        rest = children[:at] + children[at + 1 :]
        return super().read_children(element, rest, document)
