"""Faults that one emulated device can be given, by name, alone or together."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from gbcs.message import CRAFlag
from gbcs.roles import KeyUsage
from gbcs.security_credentials import (
    IssueCredentialsResponseCode,
    ProvideDeviceCertificateResponseCode,
    StatusCode,
    UpdateDeviceCertificateResponseCode,
)
from gbcs.use_cases import MessageCode, payload_codec, use_case_name
from meterstub.device_memory import PowerLost, WriteStep

if TYPE_CHECKING:
    from collections.abc import Callable


class FaultKind(enum.Enum):
    """What can fail once or several times; the value is the fault's name."""

    KEY_GENERATION = "fail-key-generation"
    """CS02c answers keyPairGenerationFailed."""
    CERTIFICATION_REQUEST = "fail-certification-request"
    """CS02c answers cRProductionFailed."""
    STORAGE = "fail-storage"
    """CS02d answers certificateStorageFailed; a CS02b cell insufficientMemory."""
    PRIVATE_KEY_CHANGE = "fail-private-key-change"
    """CS02d answers privateKeyChangeFailed."""
    CERTIFICATE_RETRIEVAL = "fail-certificate-retrieval"
    """CS02e answers certificateRetrievalFailure."""


class Faults:
    """The faults that wait in one device; none at first.

    `inject` takes them as text, for rig files and demonstrations:

        drop-responses=2              the next two responses are not sent
        corrupt-response=3            a bit of the third response from now is flipped
        refuse=000B:5                 every CS02d is answered with code 5
        keeps-old-key=ka              CS02d of that use (ds or ka) stores the certificate and
                                      answers success, and the key in use stays
        cut-power-at-write=1          the power goes in the next write of the memory
        answer-late=4                 responses come out of the fourth poll after their command
        fail-storage=1                and the other names of `FaultKind`, so many times
    """

    def __init__(self) -> None:
        self._to_drop = 0
        self._corrupt_in: dict[int, int] = {}
        self._refusals: dict[int, int] = {}
        self._kept_keys = KeyUsage(0)
        self._cuts: dict[int, WriteStep] = {}
        self._failures: dict[FaultKind, int] = {}
        self._late_polls = 0
        self._responses = 0
        self._writes = 0

    def inject(self, text: str) -> None:
        """Add a fault by its name.

        Raises:
            ValueError: `text` is none of the forms in the class's description.
        """
        name, _, value = text.partition("=")
        try:
            self._inject(name.strip(), value.strip())
        except (ValueError, KeyError):
            names = ", ".join([*_INJECTORS, *(kind.value for kind in FaultKind)])
            msg = (
                f"no fault {text[:60]!r} (form name=number; names: {names}; refuse=000B:5; "
                "keeps-old-key=ds or ka)"
            )
            raise ValueError(msg) from None

    def _inject(self, name: str, value: str) -> None:
        if name == "refuse":
            code, _, answer = value.partition(":")
            self.refuse(int(code, 16), int(answer))
        elif name == "keeps-old-key":
            self.keep_old_key(_USES[value])
        elif name in _INJECTORS:
            _INJECTORS[name](self, int(value))
        else:
            self.fail(FaultKind(name), int(value))

    def drop_responses(self, count: int = 1) -> None:
        """Drop the next `count` responses; the commands are carried out."""
        self._to_drop += _positive(count)

    def corrupt_response(self, number: int = 1, *, octet: int = -1) -> None:
        """Flip the lowest bit of one octet of the `number`-th response from now."""
        self._corrupt_in[self._responses + _positive(number)] = octet

    def refuse(self, message_code: int, answer: int) -> None:
        """Answer every command of a use case with `answer` and leave the rest undone.

        CS02a and CS02b take a StatusCode for every role or cell, the others their response code.

        Raises:
            ValueError: The use case has no such answer.
        """
        answers = _ANSWERS.get(message_code, StatusCode)
        if payload_codec(message_code, CRAFlag.COMMAND) is None or not answers(answer):
            msg = f"{use_case_name(message_code)} cannot be refused with {answer}"
            raise ValueError(msg)
        self._refusals[message_code] = answer

    def allow(self, message_code: int) -> None:
        """Remove a refusal."""
        self._refusals.pop(message_code, None)

    def keep_old_key(self, usage: KeyUsage) -> None:
        """Make CS02d store a certificate for `usage` and leave the key in use as it was."""
        self._kept_keys |= usage

    def keeps_old_key(self, usage: KeyUsage) -> bool:
        """True if CS02d leaves the key in use for `usage` as it was."""
        return usage in self._kept_keys

    def cut_power_at_write(self, number: int = 1, step: WriteStep = WriteStep.HALF_WRITTEN) -> None:
        """Cut the power in the `number`-th write from now, at `step`."""
        self._cuts[self._writes + _positive(number)] = step

    def answer_late(self, polls: int) -> None:
        """Delay every response by `polls` polls; 0 answers at once again."""
        if polls < 0:
            msg = f"{polls} polls"
            raise ValueError(msg)
        self._late_polls = polls

    def fail(self, kind: FaultKind, times: int = 1) -> None:
        """Make `kind` fail the next `times` times."""
        self._failures[kind] = self._failures.get(kind, 0) + _positive(times)

    @property
    def late_polls(self) -> int:
        """For how many polls a response is held back."""
        return self._late_polls

    def refusal_of(self, message_code: int) -> int | None:
        """Return the code that a use case is refused with, or None."""
        return self._refusals.get(message_code)

    def takes_effect(self, kind: FaultKind) -> bool:
        """True if `kind` fails now, which is counted."""
        left = self._failures.get(kind, 0)
        if left:
            self._failures[kind] = left - 1
        return left > 0

    def on_response(self, octets: bytes) -> bytes | None:
        """Return what becomes of a response on its way out; None for nothing."""
        self._responses += 1
        corrupt = self._corrupt_in.pop(self._responses, None)
        if self._to_drop:
            self._to_drop -= 1
            return None
        if corrupt is None:
            return octets
        damaged = bytearray(octets)
        damaged[corrupt] ^= 1
        return bytes(damaged)

    def write_steps(self) -> Callable[[WriteStep], None]:
        """Count a write of the memory; return what is to be called at each of its steps.

        Raises:
            PowerLost: By what it gives, where the power is to go.
        """
        self._writes += 1
        cut = self._cuts.pop(self._writes, None)

        def on_step(step: WriteStep) -> None:
            if step is cut:
                raise PowerLost(f"power cut by a fault: {step.value}")

        return on_step


def _positive(number: int) -> int:
    if number < 1:
        msg = f"a fault counts from 1, not {number}"
        raise ValueError(msg)
    return number


_ANSWERS: Final[dict[int, type[enum.IntEnum]]] = {
    MessageCode.ISSUE_CREDENTIALS: IssueCredentialsResponseCode,
    MessageCode.UPDATE_DEVICE_CERTIFICATE: UpdateDeviceCertificateResponseCode,
    MessageCode.PROVIDE_DEVICE_CERTIFICATE: ProvideDeviceCertificateResponseCode,
}
_USES: Final = {"ds": KeyUsage.DIGITAL_SIGNATURE, "ka": KeyUsage.KEY_AGREEMENT}
_INJECTORS: Final[dict[str, Callable[[Faults, int], None]]] = {
    "drop-responses": Faults.drop_responses,
    "corrupt-response": Faults.corrupt_response,
    "cut-power-at-write": Faults.cut_power_at_write,
    "answer-late": Faults.answer_late,
}
