"""The model card: everything a model says about itself, kept in ``configs/metadata.json`` of its bundle.

The file follows MONAI's bundle metadata (meta_schema_20240725); our own facts lie under its key ``lckd``.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..labels import REGIONS, Region
from ..sequences import SEQUENCES, Sequence, subset_name

MONAI_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
FORMAT = 1
SCHEMA_FILE = Path(__file__).with_name("schema.json")
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
INTENDED_USE = "Research. Not for clinical use: it is no medical device and must not guide diagnosis or treatment."
REFERENCES = (
    "Wang H., Ma C., Zhang J., Zhang Y., Avery J., Hull L., Carneiro G. (2023) Learnable Cross-modal Knowledge "
    "Distillation for Multi-modal Learning with Missing Modality. MICCAI 2023. "
    "https://doi.org/10.1007/978-3-031-43901-8_21",
)
NOT_MEASURED = "Not measured."


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a model says about itself.

    Attributes:
        name: how the model is called on the command line and in reports; also the name of its folder.
        size: name of the network's size: ``small``, ``base``, ``paper`` or another.
        network: the network's configuration as plain values (`NetworkConfig.as_dict`).
        stride: what D, H and W of the network's input must be multiples of.
        description: what it is, in a few sentences.
        version: the model's own version.
        changelog: version to what changed.
        authors: who made it.
        copyright: whose it is.
        license: SPDX name, or a sentence, of the license of the weights.
        data_source: where the training data come from, and their license.
        preprocessing: how images were prepared for training, and must be for use.
        training: free facts: patients, command, iterations, seeds, date, …
        dice: measured Dice, 0 to 1, by subset name (``flair+t1c``) and region; empty, or all 15 subsets. A region
            that could not be measured is None.
        dice_basis: on how many patients and how the Dice was measured, and by which command.
    """

    name: str
    size: str
    network: Mapping[str, Any]
    stride: tuple[int, int, int]
    description: str
    version: str = "1.0.0"
    changelog: Mapping[str, str] = dataclasses.field(default_factory=dict)
    authors: str = "LCKD for 3D Slicer contributors"
    copyright: str = "Copyright LCKD for 3D Slicer contributors"
    license: str = "Apache-2.0"
    data_source: str = ""
    preprocessing: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dice: Mapping[str, Mapping[str, float | None]] = dataclasses.field(default_factory=dict)
    dice_basis: str = NOT_MEASURED

    def expected_dice(self, subset: Iterable[Sequence]) -> dict[Region, float]:
        """What to expect from a subset of the sequences; regions that were not measured are left out."""
        row = self.dice.get(subset_name(subset), {})
        values = {region: row.get(region.value) for region in REGIONS}
        return {region: value for region, value in values.items() if value is not None}

    def as_metadata(self) -> dict[str, Any]:
        """The content of ``configs/metadata.json``."""
        return {
            "schema": MONAI_SCHEMA,
            "version": self.version,
            "changelog": dict(self.changelog) or {self.version: "first version"},
            **_software_versions(),
            "name": self.name,
            "task": "Segmentation of glioma (ET, TC, WT) in brain MRI with missing sequences",
            "description": self.description,
            "authors": self.authors,
            "copyright": self.copyright,
            "license": self.license,
            "data_source": self.data_source,
            "data_type": "nibabel",
            "image_classes": "4 channels: FLAIR, T1, T1c, T2; z-scored in the brain, 0 outside",
            "label_classes": "3 nested channels: enhancing tumor, tumor core, whole tumor",
            "pred_classes": "3 channels of logits: enhancing tumor, tumor core, whole tumor",
            "eval_metrics": self._mean_dice(),
            "intended_use": INTENDED_USE,
            "references": list(REFERENCES),
            "network_data_format": self._network_data_format(),
            "lckd": {
                "format": FORMAT,
                "size": self.size,
                "network": dict(self.network),
                "stride": list(self.stride),
                "preprocessing": dict(self.preprocessing),
                "training": dict(self.training),
                "dice": {subset: dict(row) for subset, row in self.dice.items()},
                "dice_basis": self.dice_basis,
            },
        }

    @staticmethod
    def from_metadata(metadata: Mapping[str, Any]) -> ModelCard:
        """Read what `as_metadata` wrote.

        Raises:
            ModelError: something is missing or not as the schema asks.
        """
        validate(metadata)
        own = metadata["lckd"]
        return ModelCard(
            **{key: metadata[key] for key in ("name", "version", "description", "authors", "copyright", "license")},
            **{key: own[key] for key in ("size", "network", "preprocessing", "training", "dice", "dice_basis")},
            changelog=metadata.get("changelog", {}),
            data_source=metadata.get("data_source", ""),
            stride=tuple(own["stride"]),
        )

    @staticmethod
    def read(path: Path) -> ModelCard:
        """Read a ``metadata.json``.

        Raises:
            ModelError: it is missing, no JSON, or not as the schema asks.
        """
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(
                "MODEL_FILE_MISSING",
                f"The model has no readable file {path.parent.name}/{path.name}.",
                "Add the complete model again.",
            ) from error
        except ValueError as error:
            raise _invalid(f"{path.name} is no JSON text") from error
        return ModelCard.from_metadata(metadata)

    def _mean_dice(self) -> dict[str, float]:
        """Mean over the subsets by region, for MONAI's readers."""
        means = {}
        for region in REGIONS:
            values = [value for row in self.dice.values() if (value := row.get(region.value)) is not None]
            if values:
                means[f"mean_dice_{region.value.lower()}_over_subsets"] = round(sum(values) / len(values), 4)
        return means

    def _network_data_format(self) -> dict[str, Any]:
        shape = [f"{step}*n" for step in self.stride]
        common = {"type": "image", "spatial_shape": shape, "dtype": "float32", "value_range": [], "is_patch_data": True}
        image = {
            **common,
            "format": "magnitude",
            "modality": "MR",
            "num_channels": len(SEQUENCES),
            "channel_def": {str(sequence.index): sequence.title for sequence in SEQUENCES},
        }
        pred = {
            **common,
            "format": "segmentation",
            "num_channels": len(REGIONS),
            "channel_def": {str(index): region.title for index, region in enumerate(REGIONS)},
        }
        return {"inputs": {"image": image}, "outputs": {"pred": pred}}


def validate(metadata: Any) -> None:
    """Check metadata against our JSON schema, which asks for all that MONAI's does and for what we need.

    Where jsonschema is not installed (inside Slicer), only the presence of the keys that we need is checked.

    Raises:
        ModelError: the first thing that is wrong.
    """
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    own_schema = schema["properties"]["lckd"]
    for keys, holder in ((schema["required"], metadata), (own_schema["required"], _own_part(metadata))):
        missing = [key for key in keys if key not in holder]
        if missing:
            raise _invalid(f"'{missing[0]}' is missing")
    if re.fullmatch(NAME_PATTERN, str(metadata["name"])) is None:
        raise _invalid("its name has other characters than letters, digits, dot, hyphen and underscore")
    if importlib.util.find_spec("jsonschema") is not None:
        _validate_fully(metadata, schema)


def _own_part(metadata: Any) -> Mapping[str, Any]:
    own = metadata.get("lckd") if isinstance(metadata, Mapping) else None
    if not isinstance(own, Mapping):
        raise _invalid("it is no model of this program: 'lckd' is missing")
    return own


def _validate_fully(metadata: Any, schema: Mapping[str, Any]) -> None:
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(metadata))
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path) or "the file"
        raise _invalid(f"{where}: {error.message[:200]}")


def _invalid(what: str) -> ModelError:
    return ModelError(
        "MODEL_METADATA", f"The description of the model is not valid ({what}).", "Get the model again from its source."
    )


def _software_versions() -> dict[str, Any]:
    """Versions of what the model was written with, as MONAI's metadata wants them."""
    from .. import __version__

    keys = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    versions: dict[str, Any] = {key: _version(package) for package, key in keys.items()}
    return {**versions, "required_packages_version": {"lckd": __version__, "SimpleITK": _version("SimpleITK")}}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
