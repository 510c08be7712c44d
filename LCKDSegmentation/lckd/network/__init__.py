"""The network: encode each present sequence once, decode any subset of them."""

from __future__ import annotations

from .config import PRESETS, NetworkConfig
from .encodings import Encodings
from .lckd import LCKDNetwork
from .resnet_aspp import build_resnet_aspp
from .unet import build_unet

__all__ = ["PRESETS", "Encodings", "LCKDNetwork", "NetworkConfig", "build_network"]

_BUILDERS = {"unet": build_unet, "resnet_aspp": build_resnet_aspp}


def build_network(config: NetworkConfig) -> LCKDNetwork:
    """A freshly initialized network of the configured architecture and size."""
    return _BUILDERS[config.architecture](config)
