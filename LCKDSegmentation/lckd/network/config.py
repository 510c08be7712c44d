"""Network sizes: configuration, not code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

from ..errors import ModelError

Architecture = Literal["unet", "resnet_aspp"]
Imputation = Literal["bottom", "mean", "zero"]


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Everything that is needed to build a network.

    Attributes:
        architecture: ``unet`` (space-to-depth stem, light decoder) or ``resnet_aspp`` (the LCKD authors' network).
        channels: encoder channels by level, finest first. Level l of the U-Net has 1/2^(l+1) of the resolution.
        decoder_channels: decoder channels by level, finest first; one fewer than `channels`.
        decoder_convs: 3×3×3 convolutions by level of the U-Net's decoder, finest first; empty for ``resnet_aspp``.
        imputation: what stands for a missing sequence where features are concatenated. The bottom level always has the
            mean of the features present (Eq. 5). At the other levels, ``bottom`` has the mean of what those present
            contribute after their projection, which keeps apart what the sequences are; ``mean`` that of the features
            there, too; ``zero`` the encoder's response to an all-zero volume, as in the authors' code.
        window_voxels: largest part of a volume that is encoded at once.
    """

    architecture: Architecture = "unet"
    channels: tuple[int, ...] = (32, 64, 128, 160)
    decoder_channels: tuple[int, ...] = (16, 32, 64)
    decoder_convs: tuple[int, ...] = (1, 2, 2)
    imputation: Imputation = "bottom"
    window_voxels: int = 6_000_000

    def __post_init__(self) -> None:
        if self.architecture not in ("unet", "resnet_aspp") or self.imputation not in get_args(Imputation):
            raise _refused(f"architecture {self.architecture}, imputation {self.imputation}")
        unet_convs = len(self.decoder_channels) if self.architecture == "unet" else 0
        if len(self.decoder_convs) != unet_convs:
            raise _refused(f"{self.decoder_convs} convolutions in the decoder")
        if len(self.channels) != len(self.decoder_channels) + 1 or min(self.channels + self.decoder_channels) < 1:
            raise _refused(f"channels {self.channels}, decoder channels {self.decoder_channels}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> NetworkConfig:
        """Read what `as_dict` wrote.

        Raises:
            ModelError: a key is unknown or a value impossible.
        """
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return NetworkConfig(**plain)
        except TypeError as error:
            raise _refused(str(error)) from error


def _refused(what: str) -> ModelError:
    message = f"The model describes a network that does not exist here ({what})."
    return ModelError("MODEL_ARCHITECTURE", message, "Choose another model.")


PRESETS: Mapping[str, NetworkConfig] = {
    "small": NetworkConfig(),
    "base": NetworkConfig(channels=(48, 96, 192, 320), decoder_channels=(32, 64, 128), window_voxels=4_000_000),
    "paper": NetworkConfig(
        "resnet_aspp", (64, 256, 512, 1024, 256), (32, 64, 128, 256), (), window_voxels=80 * 160 * 160
    ),
}
