"""The settings of a training as the user reads and writes them; `lckd train settings` says which there are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

#: A patch is not made smaller than this: less of a brain teaches nothing. It is cut in steps, in voxels.
_SMALLEST_PATCH, _PATCH_STEP = 32, 16


@dataclass(frozen=True)
class Setting:
    """One setting, as ``lckd train settings --json`` tells of it.

    Attributes:
        name: of the setting.
        value: of the preset or run that is changed.
        meaning: what it does, with its unit.
        choices: what it may be; empty: anything.
        least, most: between which it lies; None: no bound.
    """

    name: str
    value: Any
    meaning: str
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None

    @staticmethod
    def fromFacts(facts: Mapping[str, Any]) -> Setting:
        """Read one of ``settings`` of the result of ``lckd train settings --json``."""
        choices = tuple(facts.get("choices") or ())
        return Setting(facts["name"], facts["value"], facts["meaning"], choices, facts.get("least"), facts.get("most"))

    @property
    def options(self) -> tuple[Any, ...]:
        """All that it may be, where that is a short list."""
        if isinstance(self.value, list):
            return ()
        return (True, False) if isinstance(self.value, bool) else self.choices

    @property
    def explanation(self) -> str:
        """What it does and what it may be."""
        meaning = self.meaning[:1].upper() + self.meaning[1:]
        return " ".join([meaning.rstrip(".") + ".", *([self._allowed()] if self._allowed() else [])])

    def read(self, text: str) -> Any:
        """Return the value that a text stands for.

        :raises ValueError: it is none that is allowed; the message is a sentence for the user
        """
        if isinstance(self.value, list):
            value: Any = self._readList(text)
        elif isinstance(self.value, str) or self.options:
            known = {shown(option): option for option in self.options}
            value = known.get(text.strip(), text.strip())
        else:
            value = self._readNumber(text)
        for one in value if isinstance(value, list) else [value]:
            self._check(one)
        return value

    def _readList(self, text: str) -> list[Any]:
        words = [word for word in re.split(r"[\s,;×x\[\]]+" if self._holdsNumbers else r"[\s,;\[\]]+", text) if word]
        items = [self._readNumber(word) for word in words] if self._holdsNumbers else words
        # A patch is written as one number if it is a cube.
        return items * len(self.value) if self.name == "patch" and len(items) == 1 else items

    @property
    def _holdsNumbers(self) -> bool:
        return bool(self.value) and not isinstance(self.value[0], str)

    def _readNumber(self, text: str) -> float:
        sample = self.value[0] if isinstance(self.value, list) else self.value
        try:
            return int(text) if isinstance(sample, int) else float(text.replace(",", "."))
        except ValueError as error:
            kind = _("a whole number") if isinstance(sample, int) else _("a number")
            raise ValueError(
                _("{name} has to be {kind}, not “{text}”.").format(name=self.name, kind=kind, text=text)
            ) from error

    def _check(self, value: Any) -> None:
        isOutside = (self.least is not None and value < self.least) or (self.most is not None and value > self.most)
        isOdd = isinstance(value, float) and not math.isfinite(value)
        options = self.options or self.choices
        if isOutside or isOdd or (options and value not in options):
            raise ValueError(
                _("{name} cannot be {value}.").format(name=self.name, value=shown(value)) + " " + self._allowed()
            )

    def _allowed(self) -> str:
        if self.choices:
            return _("It is one of: {choices}.").format(choices=", ".join(map(shown, self.choices)))
        if self.least is not None and self.most is not None:
            return _("It lies between {least} and {most}.").format(least=shown(self.least), most=shown(self.most))
        if self.least is not None:
            return _("It is at least {least}.").format(least=shown(self.least))
        return ""


def shown(value: Any) -> str:
    """Return a value as the user reads and writes it."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def yamlText(value: Any) -> str:
    """Return a value as ``--set`` takes it; JSON is YAML, except for numbers such as 1e-05."""
    text = json.dumps(value)
    return re.sub(r"^(-?\d+)e", r"\1.0e", text) if isinstance(value, float) else text


def fromYamlText(text: str) -> Any:
    """Return the value of a text that `yamlText` or a script has written."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def smaller(values: Mapping[str, Any]) -> tuple[str, str, Any] | None:
    """Return the next setting with which a training needs less memory: words, name, value; None if there is none.

    First what costs only time, the patch last, since a smaller one is another training.

    :param values: of all settings by name
    """
    batch, patch = values["batch"], list(values["patch"])
    if values["accumulate"] < batch:
        return _("the {count} patches of a step are computed one by one").format(count=batch), "accumulate", batch
    if not values["checkpoint_activations"]:
        return _("intermediate results are computed twice instead of kept"), "checkpoint_activations", True
    cut = [max(_SMALLEST_PATCH, length - _PATCH_STEP) if length > _SMALLEST_PATCH else length for length in patch]
    if cut == patch:
        return None
    return _("patches of {size} voxels").format(size=" × ".join(map(str, cut))), "patch", cut
