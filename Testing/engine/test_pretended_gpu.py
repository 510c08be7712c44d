"""The engine on a pretended GPU: tensors of two devices never meet, and the result is that of the CPU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms import write_case
from pretended_gpu import CPU, GPU, OnGpu, pretended_gpu
from torch import Tensor

from lckd import Case
from lckd.device import place
from lckd.engine import Engine, Settings
from lckd.models import load_model
from lckd.network import LCKDNetwork, NetworkConfig, build_network
from lckd.predictor import Plan, Predictor
from lckd.prepare import PreparedCase, prepare
from lckd.sequences import SEQUENCES, Sequence, subsets_of

FLAIR, T1, T1C, T2 = SEQUENCES
UNET = {"channels": (4, 6, 8), "decoder_channels": (3, 5), "decoder_convs": (1, 2)}
ASPP = {
    "architecture": "resnet_aspp",
    "channels": (8, 8, 16, 16, 8),
    "decoder_channels": (4, 4, 4, 4),
    "decoder_convs": (),
}
NETWORKS = [
    *(NetworkConfig(**UNET, imputation=name) for name in ("bottom", "mean", "zero")),
    NetworkConfig(**ASPP, imputation="zero"),
]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case.from_folder(write_case(tmp_path_factory.mktemp("cases") / "case"))


@pytest.fixture(scope="module")
def prepared(case: Case) -> PreparedCase:
    return prepare(case)


@pytest.fixture
def model(tiny_model: Path) -> LCKDNetwork:
    return load_model(tiny_model).network


def gradients(network: LCKDNetwork, images: dict[Sequence, Tensor]) -> dict[str, np.ndarray]:
    network.zero_grad()
    encodings = network.encode(images)
    (network.decode(encodings, (T1C,)) * network.decode(encodings)).mean().backward()
    return {name: p.grad.cpu().numpy() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", NETWORKS, ids=lambda config: f"{config.architecture}-{config.imputation}")
def test_every_imputation_forward_and_backward(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    network = build_network(config).double()
    images = {sequence: torch.randn(1, 1, 16, 32, 32).double() for sequence in (FLAIR, T1C)}
    expected = gradients(network, images)
    with pretended_gpu():
        place(network, GPU)
        found = gradients(network, {sequence: image.to(GPU) for sequence, image in images.items()})
        assert isinstance(next(network.parameters()), OnGpu)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.allclose(found[name], value, rtol=1e-6, atol=1e-9), name


@pytest.mark.parametrize("mirror", [False, True])
def test_every_subset_of_a_case_in_windows(model: LCKDNetwork, prepared: PreparedCase, mirror: bool) -> None:
    if mirror:
        prepared = replace(prepared, arrays={T1C: prepared.arrays[T1C]})
    wanted = subsets_of(prepared.present)
    expected = Predictor(model, CPU, mirror, half=False).predict(prepared, wanted)
    with pretended_gpu():
        predictor = Predictor(model, GPU, mirror, half=False)
        for plan in (predictor.plan, Plan(GPU, predictor.plan.window_voxels, offload=True)):
            predictor.plan = plan
            encoded = predictor.encode(prepared)
            where = {level.device for _, _, part in encoded.parts for level in part.features[T1C]}
            assert where == {CPU if plan.offload else GPU}
            for subset, found in predictor.predict(prepared, wanted).items():
                assert np.abs(found - expected[subset]).max() < 1e-5
                assert np.array_equal(predictor.decode(encoded, subset), found)
        place(model, CPU)


def test_the_whole_way_of_a_case(tiny_model: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = Engine(tiny_model, Settings("cpu", half=False)).segment_subsets(case, [(FLAIR, T2)])
    monkeypatch.setattr("lckd.engine.choose_device", lambda _: GPU)
    with pretended_gpu():
        engine = Engine(tiny_model, Settings(half=False))
        (found,) = engine.segment_subsets(case, [(FLAIR, T2)])
        (again,) = engine.results(engine.open(case), [(FLAIR, T2)])
    assert found.report["device"] == "meta"
    assert np.array_equal(found.labels, again.labels)
    assert np.mean(found.labels != expected.labels) < 1e-4


def test_out_of_memory_leads_to_the_cpu_and_the_next_case_to_the_gpu(
    model: LCKDNetwork, prepared: PreparedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Predictor(model, CPU, half=False).predict(prepared, [SEQUENCES])[SEQUENCES]
    encode, full = model.encoder.forward, [True]

    def fill(image: Tensor) -> list[Tensor]:
        if full and image.device == GPU:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return encode(image)

    monkeypatch.setattr(model.encoder, "forward", fill)
    with pretended_gpu():
        for device in (CPU, GPU):
            predictor = Predictor(model, GPU, half=False)
            found = predictor.predict(prepared, [SEQUENCES])[SEQUENCES]
            assert predictor.plan.device == device
            assert np.abs(found - expected).max() < 1e-5
            full.clear()
        place(model, CPU)


def test_the_pretended_gpu_finds_what_is_left_on_the_cpu(model: LCKDNetwork) -> None:
    image = torch.randn(1, 1, 16, 16, 16)
    with pretended_gpu():
        place(model, GPU)
        with pytest.raises(RuntimeError, match="tensors are on"):
            model.encode({T1: image})
        encodings = model.encode({T1: image.to(GPU), T2: image.to(GPU)})
        with pytest.raises(TypeError, match="NumPy"):
            model.decode(encodings, (T1,)).detach().numpy()
        model.decoder.head.bias = torch.nn.Parameter(torch.zeros(model.decoder.head.bias.shape))
        with pytest.raises(RuntimeError, match="tensors are on"):
            model.decode(encodings, (T1,))
