"""Models: writing, loading, checking, and everything in a bundle that must be refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out
from tiny_models import CONFIG, METADATA, WEIGHTS, a_card, a_network, edit_metadata, edit_weights, refusal

from lckd.labels import Region
from lckd.models import card, load_model, verify_model, write_bundle
from lckd.models.checksums import sha256_of, write_sums
from lckd.network import NetworkConfig, build_network
from lckd.sequences import Sequence

# --- writing and loading ---


def test_what_is_written_is_what_is_loaded(bundle, network):
    model = load_model(bundle)
    image = torch.randn(1, 4, 8, 8, 16)
    with torch.no_grad():
        assert torch.equal(model.network(image), network(image))
    assert not model.network.training
    assert (model.name, model.path) == ("tiny", bundle)
    assert model.sha256 == hashlib.sha256((bundle / WEIGHTS).read_bytes()).hexdigest()
    assert model.card == dataclasses.replace(a_card(network), changelog={"1.0.0": "first version"})
    assert model.network.config == CONFIG


def test_half_precision_is_stored_and_single_is_loaded(tmp_path, network):
    write_bundle(tmp_path / "half", network, a_card(network), half=True)
    stored = torch.load(tmp_path / "half" / WEIGHTS, weights_only=True)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    loaded = load_model(tmp_path / "half").network.state_dict()
    for key, value in network.state_dict().items():
        assert loaded[key].dtype == torch.float32
        assert torch.equal(loaded[key], value.half().float())


def test_the_bundle_has_the_files_of_a_monai_bundle(bundle):
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert files == {METADATA, "configs/inference.json", WEIGHTS, "docs/README.md", "LICENSE", "SHA256SUMS"}
    sums = dict(reversed(line.split("  ")) for line in (bundle / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: sha256_of(bundle / name) for name in files - {"SHA256SUMS"}}
    assert os.listdir(bundle.parent) == ["tiny"], "no temporary folder is left"


def test_metadata_pass_monais_own_check(bundle):
    """MONAI checks with the schema file at `filepath`; ours asks for all that meta_schema_20240725 requires."""
    schema = json.loads(card.SCHEMA_FILE.read_text())
    monai_required = {
        *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
        *("task", "description", "authors", "copyright", "network_data_format"),
    }
    assert monai_required <= set(schema["required"])
    tensor_required = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"}
    assert tensor_required <= set(schema["$defs"]["tensor"]["required"])
    verify_metadata(meta_file=str(bundle / METADATA), filepath=card.SCHEMA_FILE)
    edit_metadata(bundle, lambda metadata: metadata.pop("authors"))
    with pytest.raises(ValueError, match="authors"):
        verify_metadata(meta_file=str(bundle / METADATA), filepath=card.SCHEMA_FILE)


@pytest.mark.parametrize("architecture", ["unet", "resnet_aspp"])
def test_monai_builds_the_network_and_checks_its_input_and_output(tmp_path, architecture):
    wide = NetworkConfig("resnet_aspp", (8, 16, 32, 64, 16), (4, 8, 16, 32), (), "zero")
    network = build_network(CONFIG if architecture == "unet" else wide)
    folder = tmp_path / architecture
    write_bundle(folder, network, a_card(network))
    files = {"meta_file": str(folder / METADATA), "config_file": str(folder / "configs/inference.json")}
    verify_net_in_out("network_def", device="cpu", **files)
    parser = ConfigParser()
    parser.read_config(files["config_file"])
    parser.read_meta(files["meta_file"])
    parser["bundle_root"], parser["device"] = str(folder), "cpu"
    loaded = parser.get_parsed_content("network")
    assert torch.equal(loaded.decoder.head.weight, network.decoder.head.weight)
    assert all(
        length % step == 0
        for length, step in zip(parser.get_parsed_content("inferer").roi_size, network.stride, strict=True)
    )


def test_the_card_says_what_to_expect(network):
    filled = a_card(network)
    assert filled.expected_dice([Sequence.T2, Sequence.FLAIR]) == {Region.ET: pytest.approx(0.35), Region.WT: 0.9}
    assert dataclasses.replace(filled, dice={}).expected_dice([Sequence.T1]) == {}
    assert filled.as_metadata()["eval_metrics"]["mean_dice_et_over_subsets"] == pytest.approx(0.4)


def test_readme_shows_the_card(bundle):
    text = (bundle / "docs/README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 15
    assert "| FLAIR, T2 | 0.35 | – | 0.90 |" in rows
    for part in ("Not for clinical use", "three patients that it never saw", "Nowhere", "Apache-2.0", "command: none"):
        assert part in text
    assert "Apache-2.0" in (bundle / "LICENSE").read_text(encoding="utf-8")


def test_verify_says_what_was_checked(bundle):
    checks = verify_model(bundle)
    assert len(checks) == 5
    assert WEIGHTS in checks[0]


def test_writing_does_not_overwrite_unasked(bundle, network):
    other = a_network(seed=1)
    assert refusal(write_bundle, bundle, other, a_card(other)).code == "OUTPUT_EXISTS"
    assert torch.equal(load_model(bundle).network.decoder.head.weight, network.decoder.head.weight)
    write_bundle(bundle, other, a_card(other), overwrite=True)
    assert torch.equal(load_model(bundle).network.decoder.head.weight, other.decoder.head.weight)
    assert os.listdir(bundle.parent) == ["tiny"]


def test_a_model_that_could_not_be_loaded_is_not_written(bundle, network):
    """Too large for half precision: nothing is left, and what was there stays."""
    before = sha256_of(bundle / "SHA256SUMS")
    with torch.no_grad():
        network.decoder.head.weight.fill_(1e6)
    arguments = {"half": True, "overwrite": True}
    assert refusal(write_bundle, bundle, network, a_card(network), **arguments).code == "MODEL_DAMAGED"
    assert sha256_of(bundle / "SHA256SUMS") == before
    assert os.listdir(bundle.parent) == ["tiny"]


def test_a_card_of_another_network_is_refused(tmp_path, network):
    wrong = dataclasses.replace(a_card(network), network=NetworkConfig().as_dict())
    assert refusal(write_bundle, tmp_path / "x", network, wrong).code == "MODEL_METADATA"
    assert not (tmp_path / "x").exists()


def test_unwritable_places_are_said_so(tmp_path, network):
    (tmp_path / "file").write_text("in the way")
    assert refusal(write_bundle, tmp_path / "file" / "x", network, a_card(network)).code == "NOT_WRITABLE"


# --- what must be refused ---


@pytest.mark.parametrize("name", [WEIGHTS, METADATA, "configs/inference.json", "docs/README.md", "LICENSE"])
def test_a_flipped_byte_is_found(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    error = refusal(load_model, bundle)
    assert error.code == "MODEL_HASH"
    assert error.exit_status == 4
    assert name in error.message


@pytest.mark.parametrize("name", [WEIGHTS, "configs/inference.json", "docs/README.md", "SHA256SUMS"])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    error = refusal(load_model, bundle)
    assert error.code == "MODEL_FILE_MISSING"
    assert name in error.message


def test_a_required_file_must_have_a_checksum(bundle):
    lines = (bundle / "SHA256SUMS").read_text().splitlines(keepends=True)
    (bundle / "SHA256SUMS").write_text("".join(line for line in lines if WEIGHTS not in line))
    assert refusal(load_model, bundle).code == "MODEL_FILE_MISSING"


@pytest.mark.parametrize("line", ["not a checksum", f"{'0' * 64}  ../secret", f"{'0' * 64}  /etc/passwd"])
def test_a_damaged_list_of_checksums_is_refused(bundle, line):
    with (bundle / "SHA256SUMS").open("a") as stream:
        stream.write(line + "\n")
    assert refusal(load_model, bundle).code == "MODEL_DAMAGED"


class _Attack:
    """Unpickling this creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_a_program_in_place_of_weights_is_not_executed(bundle, tmp_path):
    marker = tmp_path / "executed"
    torch.save(_Attack(marker), bundle / WEIGHTS)
    write_sums(bundle)
    assert refusal(load_model, bundle).code == "MODEL_NOT_WEIGHTS"
    assert not marker.exists()
    torch.load(bundle / WEIGHTS, weights_only=False)
    assert marker.exists(), "the attack itself works"


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 half a zip"])
def test_other_bytes_in_place_of_weights_are_refused(bundle, content):
    (bundle / WEIGHTS).write_bytes(content)
    write_sums(bundle)
    assert refusal(load_model, bundle).code in {"MODEL_NOT_WEIGHTS", "MODEL_DAMAGED"}


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (lambda state: state.pop("decoder.head.bias"), "MODEL_ARCHITECTURE", "decoder.head.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "MODEL_ARCHITECTURE", "extra"),
        (lambda state: state.update({"decoder.head.bias": torch.zeros(3)}), "MODEL_ARCHITECTURE", "(3,)"),
        (lambda state: state.update({"decoder.head.bias": "text"}), "MODEL_ARCHITECTURE", "str"),
        (lambda state: state["decoder.head.bias"].fill_(torch.nan), "MODEL_DAMAGED", "decoder.head.bias"),
    ],
    ids=["missing", "unknown", "shape", "no tensor", "nan"],
)
def test_weights_of_another_network_are_refused_by_key(bundle, change, code, named):
    edit_weights(bundle, change)
    error = refusal(load_model, bundle)
    assert error.code == code
    assert named in error.message


def test_a_network_that_does_not_exist_here_is_refused(bundle):
    edit_metadata(bundle, lambda metadata: metadata["lckd"]["network"].update(architecture="transformer"))
    assert refusal(load_model, bundle).code == "MODEL_ARCHITECTURE"


METADATA_FAULTS = {
    "dice above 1": lambda m: m["lckd"]["dice"]["flair"].update(ET=1.2),
    "a subset is missing": lambda m: m["lckd"]["dice"].pop("flair+t1"),
    "an unknown subset": lambda m: m["lckd"]["dice"].update({"t1+flair": {"ET": 0, "TC": 0, "WT": 0}}),
    "a region is missing": lambda m: m["lckd"]["dice"]["t2"].pop("WT"),
    "another format": lambda m: m["lckd"].update(format=2),
    "text for a number": lambda m: m["lckd"]["stride"].__setitem__(0, "8"),
    "no basis": lambda m: m["lckd"].pop("dice_basis"),
    "none of ours": lambda m: m.pop("lckd"),
    "no name": lambda m: m.pop("name"),
    "a name that is a path": lambda m: m.update(name="../elsewhere"),
    "no tensor format": lambda m: m["network_data_format"]["inputs"].pop("image"),
}


@pytest.mark.parametrize("fault", METADATA_FAULTS)
def test_invalid_metadata_are_refused(bundle, fault):
    edit_metadata(bundle, METADATA_FAULTS[fault])
    assert refusal(load_model, bundle).code == "MODEL_METADATA"


@pytest.mark.parametrize("fault", ["no basis", "none of ours", "no name", "a name that is a path"])
def test_without_jsonschema_the_keys_we_need_are_still_checked(bundle, fault, monkeypatch):
    monkeypatch.setattr(card.importlib.util, "find_spec", lambda name: None)
    assert load_model(bundle).name == "tiny"
    edit_metadata(bundle, METADATA_FAULTS[fault])
    assert refusal(load_model, bundle).code == "MODEL_METADATA"


@pytest.mark.parametrize("text", ["{", "[]", "null", '"lckd"'])
def test_metadata_that_are_no_object_are_refused(bundle, text):
    (bundle / METADATA).write_text(text)
    write_sums(bundle)
    assert refusal(load_model, bundle).code == "MODEL_METADATA"
