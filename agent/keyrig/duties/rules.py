"""The duties as data: a rule set read from TOML, and the one built in."""

import enum
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from gbcs.roles import DeviceType
from keyrig.base.errors import RulesInvalid, SettingsError
from keyrig.base.outside_files import TOML_MAXIMUM_OCTETS, Unreadable, parse_json, read_text
from keyrig.base.toml_files import Misplaced, TOMLFault, read_toml

BUILT_IN: Final = "sec-h5-consultation-draft.toml"

Name = Annotated[str, Field(min_length=1)]
DeviceTypes = Annotated[
    frozenset[DeviceType], PlainSerializer(lambda types: sorted(each.value for each in types))
]


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
    """The recipient of notices of a suspension and of its end."""

    RESPONSIBLE_SUPPLIERS = "responsible-suppliers"


class Restoring(enum.Enum):
    """The effect of success: the status must be set back, or a bar on changing it is lifted."""

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
    """The reading of a doubtful duty: owed or not."""

    OWED = "owed"
    NOT_OWED = "not-owed"


class Days(enum.Enum):
    """The reading of whether the days of a duty on another Type 1 Device ever begin to run."""

    FROM_INVENTORY = "from-inventory"
    NEVER = "never"


class Failing(enum.Enum):
    """The meaning of failing a step."""

    ATTEMPT = "failed-attempt"
    DEADLINE = "deadline"
    EITHER = "either"

    @property
    def by_attempt(self) -> bool:
        """True if a failed attempt in time is a failure."""
        return self is not Failing.DEADLINE

    @property
    def by_deadline(self) -> bool:
        """True if what is not done at its deadline has failed, tried or not."""
        return self is not Failing.ATTEMPT


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class _Reading(_Model):
    """The reading chosen for an ambiguous text, with its reason."""

    ambiguity: Name
    reason: Name


class OwedReading(_Reading):
    """The reading of whether a duty that the text leaves doubtful is owed."""

    choice: Owed


class DayCountingReading(_Reading):
    """The reading of how days are counted from an instant."""

    choice: DayCounting


class DateOnlyReading(_Reading):
    """The reading of how days are counted from a date."""

    choice: DateOnly


class DaysReading(_Reading):
    """The reading of whether the days of a duty ever begin to run."""

    choice: Days


class DeadlineReading(_Reading):
    """The reading of how many days a duty has."""

    choice: Annotated[int, Field(gt=0, le=366)]


class FailingReading(_Reading):
    """The reading of what it is to fail a step."""

    choice: Failing


class Readings(_Model):
    """The ambiguities of the text that a rule set decides."""

    gas_proxy_organisation_certificate: OwedReading
    other_type_1_commissioning: DaysReading
    other_type_1_deadline: DeadlineReading
    failing: FailingReading
    day_counting: DayCountingReading
    date_only: DateOnlyReading


class Permission(_Model):
    """Permission for the Responsible Supplier to replace and return the Communications Hub."""

    clause: Name
    device_types: DeviceTypes
    reason: Name


class Consequence(_Model):
    """The consequences of failing, with the clauses that state them.

    `bar` is the one that forbids any other change of the status meanwhile.
    """

    id: Name
    suspend: Name
    retry: Name
    restore: Name
    bar: Name
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
    """One requirement: the party, the step, the device types and the deadline.

    `met_on` names, for a device type that cannot meet it, the type on which it is met;
    `governed_by` names, for a device type, the reading that decides whether it is owed;
    `deadline_days` may name the reading that gives the days, and `days_run` the one that
    decides whether they ever begin to run.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-]{1,20}$")]
    clause: Name
    text: Name
    actor: Actor
    manner: Manner
    device_types: DeviceTypes
    step: StepKind
    deadline_days: Annotated[int, Field(gt=0, le=366)] | Literal["other_type_1_deadline"]
    days_run: Literal["other_type_1_commissioning"] | None = None
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
                raise Misplaced((name,), f"{name} names {foreign[0]}, which is not in device_types")
        return self


class Rules(_Model):
    """A rule set; the order of the requirements is the order of the steps on a device."""

    edition: Name
    readings: Readings
    consequence: tuple[Consequence, ...] = ()
    requirement: Annotated[tuple[Requirement, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _references_hold(self) -> Self:
        for table, key, names in (
            ("requirement", "id", [r.id for r in self.requirement]),
            ("consequence", "id", [c.id for c in self.consequence]),
            ("consequence", "suspend", [c.suspend for c in self.consequence]),
        ):
            for index, name in enumerate(names):
                if name in names[:index]:
                    raise Misplaced((table, index, key), f"{table} {key} {name} stands twice")
        known = {c.id for c in self.consequence}
        for index, requirement in enumerate(self.requirement):
            if requirement.on_failure is not None and requirement.on_failure not in known:
                raise Misplaced(
                    ("requirement", index, "on_failure"),
                    f"{requirement.id}: on_failure names {requirement.on_failure}, "
                    f"which no [[consequence]] has as its id",
                )
        return self

    def canonical(self) -> str:
        """Return the canonical JSON text of this rule set, by which it is kept and compared."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
        )

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical text, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def requirement_by_id(self, requirement_id: str) -> Requirement:
        """Return the requirement of that id.

        Raises:
            KeyError: The rule set has none of that id.
        """
        for requirement in self.requirement:
            if requirement.id == requirement_id:
                return requirement
        raise KeyError(requirement_id)

    def days(self, requirement: Requirement) -> int | None:
        """Return the days that a requirement has, or None where they never begin to run."""
        if requirement.days_run is not None:
            running: DaysReading = getattr(self.readings, requirement.days_run)
            if running.choice is Days.NEVER:
                return None
        if isinstance(requirement.deadline_days, int):
            return requirement.deadline_days
        reading: DeadlineReading = getattr(self.readings, requirement.deadline_days)
        return reading.choice

    def owed_by(self, device_type: DeviceType) -> tuple[Requirement, ...]:
        """Return the requirements on devices of a type, in the order of their steps."""
        return tuple(r for r in self.requirement if device_type in r.device_types)

    def on_failure(self, requirement: Requirement) -> Consequence | None:
        """Return the consequence of failing `requirement`, or None where the text states none."""
        return next((c for c in self.consequence if c.id == requirement.on_failure), None)

    def suspended_under(self, clause: str) -> Consequence | None:
        """Return the consequence whose suspending clause is `clause`."""
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
        return read_toml(text, Rules)
    except TOMLFault as fault:
        line = f", line {fault.line}" if fault.line else ""
        raise RulesInvalid(f"{source}{line}", fault.reason, fault.mend) from None


def rules_from_canonical(text: str, source: str) -> Rules:
    """Read a rule set from the JSON text that `Rules.canonical` returned.

    Raises:
        RulesInvalid: It is no such text.
    """
    try:
        parse_json(text)
        return Rules.model_validate_json(text)
    except Unreadable as error:
        raise RulesInvalid(source, f"no rule set: {error}", "use the file as it was made") from None
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise RulesInvalid(source, f"no rule set: {reason}", "use the file as it was made") from (
            None
        )


def load_rules(path: Path) -> Rules:
    """Read a rule set from a file.

    Raises:
        RulesInvalid: The file cannot be read, or as for `parse_rules`.
    """
    try:
        text = read_text(path, maximum=TOML_MAXIMUM_OCTETS)
    except Unreadable as error:
        raise RulesInvalid(str(path), str(error), error.mend) from None
    return parse_rules(text, str(path))


@cache
def built_in_rules() -> Rules:
    """Return the rule set that comes with keyrig, "SEC H5.33-H5.40, consultation draft"."""
    text = resources.files(__package__).joinpath(BUILT_IN).read_text(encoding="utf-8")
    return parse_rules(text, BUILT_IN)


def rules_with(rules: Rules, choices: Mapping[str, Any], source: str) -> Rules:
    """Return a rule set with other readings of its ambiguities; its edition says which.

    Args:
        rules: The rule set.
        choices: The new choice for each reading that changes, by the reading's name.
        source: Where the choices stand, for errors.

    Raises:
        SettingsError: There is no such reading, or it has no such choice.
    """
    changed: dict[str, BaseModel] = {}
    for name, choice in choices.items():
        reading = getattr(rules.readings, name, None) if name in Readings.model_fields else None
        if reading is None:
            known = ", ".join(Readings.model_fields)
            raise SettingsError(source, f"there is no reading {name}", f"the readings are {known}")
        try:
            new = type(reading).model_validate(
                {"ambiguity": reading.ambiguity, "choice": choice, "reason": f"chosen in {source}"}
            )
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            where = f"{source}: reading {name}"
            raise SettingsError(where, f"cannot be {choice!r}", reason) from None
        if new.choice != reading.choice:
            changed[name] = new
    if not changed:
        return rules
    said = ", ".join(f"{name}={choices[name]}" for name in changed)
    return rules.model_copy(
        update={
            "edition": f"{rules.edition}, read otherwise: {said}",
            "readings": rules.readings.model_copy(update=changed),
        }
    )
