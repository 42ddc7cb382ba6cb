"""Composing and protecting the command that a step asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.message import CRAFlag, Header, OtherInformation
from gbcs.protection import protect, verify_signature
from gbcs.use_cases import compose

if TYPE_CHECKING:
    from gbcs.entity import EntityIdentifier
    from gbcs.keys import Signer
    from gbcs.message import Message
    from keyrig.session.steps.effects import Ask


def composed_command(ask: Ask, device: EntityIdentifier, counter: int) -> tuple[Message, Any]:
    """Compose what a step asks for, unprotected; give it with its payload's value.

    Args:
        ask: What is asked for.
        device: Whom the command is for.
        counter: The originator counter that was reserved for it.
    """
    payload = ask.payload(counter)
    header = Header(
        cra_flag=CRAFlag.COMMAND,
        originator_counter=counter,
        originator=ask.originator,
        recipient=device,
        other_information=OtherInformation(ask.message_code),
    )
    return compose(header, payload), payload


def protect_checked(
    message: Message, *, signer: Signer | None = None, shared_secret: bytes | None = None
) -> Message:
    """Sign and MAC a command, and see that the signature is the signer's own.

    Raises:
        SignatureMismatch: It is not.
        LocalProtocolError: Neither is given; no message goes out unprotected.
    """
    protected = protect(message, signer=signer, shared_secret=shared_secret)
    if signer is not None:
        # A signature that its own key does not verify must not leave: it may betray the key.
        verify_signature(protected, signer.public_key)
    return protected
