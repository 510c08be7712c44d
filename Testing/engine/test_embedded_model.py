"""The model and the sample case that come with the program, as a user meets them."""

from pathlib import Path

import pytest

from lckd.comparison import compare_results
from lckd.discovery import find_case
from lckd.engine import Engine, Settings
from lckd.jobs import Job
from lckd.labels import REGIONS, Region
from lckd.models import list_models, load_model, verify_model
from lckd.progress import Progress
from lckd.resources import sample_case_dir
from lckd.sequences import SEQUENCES, Sequence, Subset, parse_subset, subset_name, subsets_of

MAX_BYTES = 20 * 1024**2


@pytest.fixture(scope="module")
def dice(tmp_path_factory: pytest.TempPathFactory) -> dict[Subset, dict[Region, float]]:
    """Dice on the sample case by subset and region."""
    job = Job(find_case(sample_case_dir()), tmp_path_factory.mktemp("demo") / "out")
    case = job.read(Progress())
    subsets = [parse_subset(text) for text in ("flair", "t1c", "flair,t1c")] + [SEQUENCES]
    results = Engine(settings=Settings(device="cpu")).segment_subsets(case, subsets)
    comparison = compare_results(results, job.read_reference(case))
    return {subset: {region: row.dice for region, row in comparison.of(subset).items()} for subset in subsets}


def test_the_embedded_model_is_intact_and_small() -> None:
    entry = next(entry for entry in list_models() if entry.embedded)
    assert verify_model(entry.path)
    assert sum(file.stat().st_size for file in Path(entry.path).rglob("*") if file.is_file()) < MAX_BYTES


def test_its_card_says_what_to_expect_from_every_subset() -> None:
    card = load_model().card
    assert set(card.dice) == {subset_name(subset) for subset in subsets_of()}
    assert all(set(card.expected_dice(subset)) == set(REGIONS) for subset in subsets_of())
    assert card.data_source
    assert "patients" in card.dice_basis
    patients = card.training["patients"]
    assert not set(patients["test"]) & {*patients["train"], *patients["election"]}


def test_it_finds_the_tumor_of_the_sample_case(dice: dict[Subset, dict[Region, float]]) -> None:
    assert dice[SEQUENCES][Region.WT] >= 0.9
    assert dice[SEQUENCES][Region.TC] >= 0.8
    assert dice[SEQUENCES][Region.ET] >= 0.6


def test_fewer_sequences_give_less(dice: dict[Subset, dict[Region, float]]) -> None:
    assert dice[SEQUENCES][Region.WT] > dice[(Sequence.T1C,)][Region.WT]
    assert dice[SEQUENCES][Region.ET] > dice[(Sequence.FLAIR,)][Region.ET]
    assert dice[SEQUENCES][Region.TC] > dice[parse_subset("flair,t1c")][Region.TC]
