"""Masked reconstruction: what is hidden, what is learned from, and how it goes over into segmentation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phantoms import make_case, write_case

from lckd.errors import InputError, UsageError
from lckd.network import NetworkConfig, build_network
from lckd.sequences import SEQUENCES, parse_subset
from lckd_training.config import TrainingConfig
from lckd_training.data.cases import find_unlabeled
from lckd_training.data.split import Split
from lckd_training.export import export
from lckd_training.method.masking import CUBE, Hiding, draw_hiding
from lckd_training.method.objective import Objective
from lckd_training.method.reconstruction import Reconstruction
from lckd_training.method.sampling import Sample
from lckd_training.run.estimate import estimate
from lckd_training.run.folder import RunFolder
from lckd_training.run.optimization import Optimization
from lckd_training.run.train import train

FLAIR, T1, T1C, T2 = SEQUENCES
CPU = torch.device("cpu")
TINY = NetworkConfig(channels=(4, 8, 8), decoder_channels=(4, 8), decoder_convs=(1, 1))
TINY_RESNET = NetworkConfig("resnet_aspp", (4, 8, 16, 32, 8), (4, 8, 16, 32), ())
PATCH = (16, 32, 32)
SMOKE = TrainingConfig.preset("smoke").overridden(
    [
        "iterations=6",
        "pretraining_iterations=3",
        "election_interval=2",
        "checkpoint_interval=1",
        "election=[b]",
        "test=[c]",
        "patch=16",
        # Of a constant rate, so that a shorter run is the beginning of a longer one.
        "schedule=trapezoid",
        "decay_iterations=1",
    ]
)


def made_sample() -> Sample:
    generator = torch.Generator().manual_seed(3)
    images = {s: torch.randn(2, 1, *PATCH, generator=generator) for s in (FLAIR, T1, T1C)}
    return Sample(images, torch.zeros(2, 3, *PATCH), ("x", "y"))


def hide(left: str = "flair,t1", share: float = 0.5) -> Hiding:
    return draw_hiding(parse_subset(left), 2, PATCH, share, np.random.default_rng(0))


def test_whole_sequences_and_the_asked_share_of_cubes_are_hidden() -> None:
    hiding = draw_hiding((FLAIR, T2), 50, (32, 64, 48), 0.6, np.random.default_rng(1))
    assert hiding.hidden.shape == (50, 4, 32, 64, 48)
    assert hiding.hidden[:, [T1.index, T1C.index]].all()
    cubes = hiding.hidden[:, [FLAIR.index, T2.index]].unfold(2, CUBE, CUBE).unfold(3, CUBE, CUBE).unfold(4, CUBE, CUBE)
    assert torch.equal(cubes.amin((-3, -2, -1)), cubes.amax((-3, -2, -1))), "a cube is hidden whole or not at all"
    assert cubes[..., 0, 0, 0].float().mean() == pytest.approx(0.6, abs=0.03)
    assert not torch.equal(hiding.hidden[:, FLAIR.index], hiding.hidden[:, T2.index]), "each sequence on its own"


@pytest.mark.parametrize("config", [TINY, TINY_RESNET])
def test_the_network_sees_nothing_of_what_is_hidden(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    network = build_network(config)
    seen: list[torch.Tensor] = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    hiding, sample = hide(), made_sample()
    Reconstruction(network).loss(network, sample, hiding)
    assert len(seen) == 2, "a sequence that is hidden altogether is not encoded"
    for sequence, image in zip((FLAIR, T1), seen, strict=True):
        hidden = hiding.hidden[:, sequence.index, None]
        assert (image[hidden] == 0).all()
        assert torch.equal(image[~hidden], sample.images[sequence][~hidden])


def test_only_what_is_hidden_in_the_brain_of_sequences_at_hand_is_judged() -> None:
    torch.manual_seed(0)
    network = build_network(TINY)
    task, sample, hiding = Reconstruction(network), made_sample(), hide("flair")
    torch.nn.init.zeros_(task.head.weight)
    torch.nn.init.zeros_(task.head.bias)  # type: ignore[arg-type]
    outside = torch.zeros(2, 1, *PATCH, dtype=torch.bool)
    outside[..., :16] = True
    images = {s: image.masked_fill(outside, 0) for s, image in sample.images.items()}
    images[T1] = images[T1] * 3
    # The decoder's finest level has half the resolution; 0 is found everywhere.
    halves = {s: torch.nn.functional.avg_pool3d(image, 2) for s, image in images.items()}
    judged = {s: (hiding.hidden[:, s.index, None] & ~outside).float() for s in images}
    counted = {s: torch.nn.functional.max_pool3d(mask, 2) for s, mask in judged.items()}
    squares = sum(float((halves[s] ** 2 * counted[s]).sum()) for s in images)
    expected = squares / sum(float(part.sum()) for part in counted.values())
    loss = task.loss(network, Sample(images, sample.regions, sample.cases), hiding)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert task.loss(network, sample, Hiding(sample.present, torch.zeros(2, 4, *PATCH, dtype=torch.bool))) == 0


def test_it_learns_to_fill_in_one_sequence_from_another() -> None:
    torch.manual_seed(0)
    config = TrainingConfig(patch=16, pretraining_iterations=100, iterations=100, learning_rate=0.01)
    network = build_network(TINY)
    objective = Objective(network, config)
    optimization = Optimization(objective, network, config, CPU)
    losses = []
    for iteration in range(60):
        generator = torch.Generator().manual_seed(iteration)
        flair = torch.nn.functional.interpolate(torch.randn(1, 1, 4, 8, 8, generator=generator), scale_factor=4)
        sample = Sample({FLAIR: flair, T1: -flair}, torch.zeros(1, 3, *PATCH), ("x",))
        hiding = draw_hiding((FLAIR,), 1, PATCH, 0.0, np.random.default_rng(iteration))
        loss, terms = objective(sample, [(FLAIR,)], {FLAIR: 1.0}, hiding)
        assert terms.tolist() == [loss.item(), loss.item(), 0.0]
        optimization.backward(loss)
        optimization.step(iteration)
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_the_average_of_the_weights_begins_anew_with_segmentation() -> None:
    torch.manual_seed(0)
    network = build_network(TINY)
    config = TrainingConfig(patch=16, pretraining_iterations=50, iterations=100, average=0.99, learning_rate=0.1)
    objective = Objective(network, config)
    optimization = Optimization(objective, network, config, CPU)
    before = [parameter.clone() for parameter in optimization.average.parameters()]
    loss, _ = objective(made_sample(), [(FLAIR,)], {})
    optimization.backward(loss)
    optimization.step(50)
    for old, new, kept in zip(before, network.parameters(), optimization.average.parameters(), strict=True):
        assert torch.allclose(kept, torch.lerp(old, new, 0.9)), "as in the first iteration of all"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labeled cases, one without labels, and one without labels of the patient who is tested on."""
    root = tmp_path_factory.mktemp("data")
    rows = ["case,flair,t1,t1c,t2,label,patient"]
    for seed, name in enumerate(("a", "b", "c", "unlabeled", "later")):
        present = parse_subset("flair,t1c") if name == "unlabeled" else SEQUENCES
        write_case(root / name, make_case(seed), present, labels=len(name) == 1)
        files = [root / name / f"{role}.nii.gz" for role in ("flair", "t1", "t1c", "t2", "seg")]
        cells = [str(file) if file.exists() else "" for file in files]
        rows.append(",".join([name, *cells, "c" if name == "later" else name]))
    table = root / "cases.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in RunFolder(run).events.read_text().splitlines()]
    return [event for event in lines if event["event"] == kind]


def losses(run: Path) -> dict[int, tuple[float, ...]]:
    return {e["iteration"]: (e["loss"], e["loss_task"], e["loss_ckd"], e["lr"]) for e in events(run, "step")}


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(data, SMOKE, run)
    return run


def test_cases_without_a_segmentation_take_part_but_none_of_patients_held_out(data: Path, whole: Path) -> None:
    split = Split.read(RunFolder(whole).split)
    assert split == Split(("a",), ("b",), ("c",))
    assert [case.name for case in find_unlabeled(data, split)] == ["unlabeled"]
    assert not find_unlabeled(data, split, exclude=("unlabeled",))
    present = [tuple(step["present"]) for step in events(whole, "step")]
    assert set(json.loads(RunFolder(whole).provenance.read_text())["cases"]) == {"a", "b", "unlabeled"}
    assert present[:3].count(("flair", "t1c")) > 0, "the case without a segmentation was drawn"


def test_teachers_are_elected_only_after_it(whole: Path) -> None:
    assert [start["pretraining_iterations"] for start in events(whole, "start")] == [3], "one who watches must know"
    assert [event["iteration"] for event in events(whole, "election")] == [4, 6]
    assert all(step["loss_ckd"] == 0 and step["loss"] == step["loss_task"] for step in events(whole, "step")[:3])


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_it_resumes_exactly_on_either_side_of_its_end(data: Path, whole: Path, tmp_path: Path, stop: int) -> None:
    class Interruption(Exception):
        pass

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["iteration"] == stop:
            raise Interruption

    with pytest.raises(Interruption):
        train(data, SMOKE, tmp_path / "run", announce=interrupt)
    train(data, SMOKE, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(whole)


def test_a_run_starts_from_what_another_was_pretrained_to(data: Path, tmp_path: Path) -> None:
    first = SMOKE.overridden(["iterations=2", "pretraining_iterations=2"])
    train(data, first, tmp_path / "first")
    assert not events(tmp_path / "first", "election")
    with pytest.raises(InputError, match="cannot segment yet: its 2 iterations"):
        export(tmp_path / "first", tmp_path / "model", {})
    later = [f"start_from={tmp_path / 'first'}", "pretraining_iterations=0", "iterations=1", "learning_rate=0.0"]
    train(data, SMOKE.overridden(later), tmp_path / "second")
    before, after = (RunFolder(tmp_path / name).load_checkpoint() for name in ("first", "second"))
    assert before is not None
    assert after is not None
    for key, value in before["average"].items():
        assert torch.equal(after["objective"][f"network.{key}"], value), key


def test_the_estimate_is_of_segmentation(data: Path) -> None:
    long = SMOKE.overridden(["iterations=50", "pretraining_iterations=30"])
    assert estimate(data, long, "cpu").iterations == 50


def test_more_pretraining_than_iterations_is_refused() -> None:
    with pytest.raises(UsageError, match="pretraining_iterations"):
        SMOKE.overridden(["pretraining_iterations=7"])
