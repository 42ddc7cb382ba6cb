"""The duties as data: a rule set read from TOML, and the one built in."""

import difflib
import enum
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gbcs.roles import DeviceType
from keyrig.errors import RulesInvalid

BUILT_IN: Final = "sec-h5-consultation-draft.toml"

Name = Annotated[str, Field(min_length=1)]


class StepKind(enum.Enum):
    """The five steps that carry out every duty."""

    REGENERATE_KEYS = "regenerate-keys"
    REPLACE_ORGANISATION_CERTIFICATE = "replace-organisation-certificate"
    CONFIRM_RECOVERY_CERTIFICATE = "confirm-recovery-certificate"
    ENSURE_SUPPLIER_CREDENTIALS = "ensure-supplier-credentials"
    ENSURE_NETWORK_CREDENTIALS = "ensure-network-credentials"


class Actor(enum.Enum):
    """The party that owes a duty."""

    DCC = "dcc"
    LEAD_SUPPLIER = "lead-supplier"

    @property
    def title(self) -> str:
        """The party as a sentence names it."""
        return "the DCC" if self is Actor.DCC else "the Lead Supplier"


class Manner(enum.Enum):
    """How the actor meets a duty: by the outcome itself, or by a Service Request to ensure it."""

    ENSURE = "ensure"
    SEND_SERVICE_REQUEST = "send-service-request"


class Exemption(enum.Enum):
    """What makes a step not owed."""

    ORGANISATION_CERTIFICATE_REPLACED = (
        "organisation-certificate-replaced-by-dcc-during-commissioning"
    )
    RECOVERY_CONFIRMED = "recovery-certificate-confirmed-after-receipt-from-manufacturer"


class Notify(enum.Enum):
    """Who is told of a suspension and of its end."""

    RESPONSIBLE_SUPPLIERS = "responsible-suppliers"


class Restoring(enum.Enum):
    """Whether the status must be set back on success, or a bar on changing it is lifted."""

    MUST = "must"
    BAR_LIFTED = "bar-lifted"


class DayCounting(enum.Enum):
    """How a deadline of days is counted from an instant."""

    ELAPSED = "24-hours"
    CALENDAR = "calendar-days"


class DateOnly(enum.Enum):
    """How a deadline of days is counted when only the date of Commissioning is known."""

    END_OF_NTH_DAY = "end-of-nth-day"
    START_OF_COMMISSIONING_DAY = "start-of-commissioning-day"


class Owed(enum.Enum):
    """Whether a doubtful duty is taken as owed."""

    OWED = "owed"
    NOT_OWED = "not-owed"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Reading(_Model):
    """One way chosen of reading an ambiguous text, with its reason."""

    ambiguity: Name
    reason: Name


class OwedReading(_Reading):
    """Whether a duty that the text leaves doubtful is owed."""

    choice: Owed


class DayCountingReading(_Reading):
    """How days are counted from an instant."""

    choice: DayCounting


class DateOnlyReading(_Reading):
    """How days are counted from a date."""

    choice: DateOnly


class Readings(_Model):
    """The ambiguities of the text that a rule set decides."""

    gas_proxy_organisation_certificate: OwedReading
    day_counting: DayCountingReading
    date_only: DateOnlyReading


class Permission(_Model):
    """Leave for the Responsible Supplier to replace and return the Communications Hub."""

    clause: Name
    device_types: frozenset[DeviceType]
    reason: Name


class Consequence(_Model):
    """What failing entails; `suspend`, `retry` and `restore` are the clauses that say so."""

    id: Name
    suspend: Name
    retry: Name
    restore: Name
    restoring: Restoring
    notify: Notify | None = None
    notify_clause: str = ""
    permission: Permission | None = None

    @model_validator(mode="after")
    def _notice_has_clause(self) -> Self:
        if (self.notify is None) != (not self.notify_clause):
            raise ValueError("notify and notify_clause go together")
        return self


class Requirement(_Model):
    """One requirement: who must have done which step on which devices, and until when.

    `met_on` names, for a device type that cannot meet it, the type on which it is met;
    `governed_by` names, for a device type, the reading that decides whether it is owed.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-]{1,20}$")]
    clause: Name
    text: Name
    actor: Actor
    manner: Manner
    device_types: frozenset[DeviceType]
    step: StepKind
    deadline_days: Annotated[int, Field(gt=0, le=366)]
    exemption: Exemption | None = None
    on_failure: str | None = None
    met_on: dict[DeviceType, DeviceType] = Field(default_factory=dict)
    governed_by: dict[DeviceType, Literal["gas_proxy_organisation_certificate"]] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _exceptions_are_of_its_devices(self) -> Self:
        for name, types in (("met_on", self.met_on), ("governed_by", self.governed_by)):
            foreign = sorted(t.value for t in types.keys() - self.device_types)
            if foreign:
                raise ValueError(f"{name} names {foreign[0]}, which is not in device_types")
        return self


class Rules(_Model):
    """A rule set; the order of the requirements is the order of the steps on a device."""

    edition: Name
    readings: Readings
    consequence: tuple[Consequence, ...] = ()
    requirement: Annotated[tuple[Requirement, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _references_hold(self) -> Self:
        for what, names in (
            ("requirement", [r.id for r in self.requirement]),
            ("consequence", [c.id for c in self.consequence]),
            ("suspending clause", [c.suspend for c in self.consequence]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what} {min(twice)} stands twice")
        known = {c.id for c in self.consequence}
        for requirement in self.requirement:
            if requirement.on_failure is not None and requirement.on_failure not in known:
                raise ValueError(
                    f"{requirement.id}: on_failure names {requirement.on_failure}, "
                    f"which no [[consequence]] has as its id"
                )
        return self

    def requirement_by_id(self, requirement_id: str) -> Requirement:
        """Give the requirement of that id.

        Raises:
            KeyError: The rule set has none of that id.
        """
        for requirement in self.requirement:
            if requirement.id == requirement_id:
                return requirement
        raise KeyError(requirement_id)

    def owed_by(self, device_type: DeviceType) -> tuple[Requirement, ...]:
        """Give the requirements on devices of a type, in the order of their steps."""
        return tuple(r for r in self.requirement if device_type in r.device_types)

    def on_failure(self, requirement: Requirement) -> Consequence | None:
        """Give what failing `requirement` entails, or None where the text states nothing."""
        return next((c for c in self.consequence if c.id == requirement.on_failure), None)

    def suspended_under(self, clause: str) -> Consequence | None:
        """Give the consequence whose suspending clause is `clause`."""
        return next((c for c in self.consequence if c.suspend == clause), None)


def parse_rules(text: str, source: str) -> Rules:
    """Read a rule set from TOML text.

    Args:
        text: The TOML text.
        source: The name of the text for errors, such as a path.

    Raises:
        RulesInvalid: Not TOML, an unknown or missing key, or a value that breaks a rule.
    """
    try:
        return Rules.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RulesInvalid(source, f"not TOML: {error}", "correct the line") from error
    except ValidationError as error:
        raise RulesInvalid(source, *_first_fault(error)) from error


def load_rules(path: Path) -> Rules:
    """Read a rule set from a file.

    Raises:
        RulesInvalid: The file cannot be read, or as for `parse_rules`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RulesInvalid(str(path), f"cannot be read: {error}", "name a readable file") from error
    return parse_rules(text, str(path))


@cache
def built_in_rules() -> Rules:
    """Give the rule set that comes with keyrig, "SEC H5.33-H5.40, consultation draft"."""
    text = resources.files(__package__).joinpath(BUILT_IN).read_text(encoding="utf-8")
    return parse_rules(text, BUILT_IN)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for subclass in model.__subclasses__():
        yield from _models(subclass)


def _first_fault(error: ValidationError) -> tuple[str, str]:
    """Give the fault to tell first, and its mend; an unknown key explains what it hides."""
    faults = error.errors(include_url=False, include_input=False)
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part) for part in fault["loc"]) or "rule set"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if fault["type"] != "extra_forbidden":
        reason = fault["msg"].removeprefix("Value error, ")
        return f"{where}: {reason}{more}", f"see {BUILT_IN} for the form"
    known = {name for model in _models(_Model) for name in model.model_fields}
    near = difflib.get_close_matches(str(fault["loc"][-1]), sorted(known), n=1)
    return f"{where}: unknown key{more}", f"did you mean {near[0]}?" if near else "take it out"
