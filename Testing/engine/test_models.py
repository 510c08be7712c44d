"""Models: writing, loading, checking, the store, and everything that must be refused."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out

from lckd import resources
from lckd.errors import LckdError, ModelError, OutputError
from lckd.labels import Region
from lckd.models import (
    ModelCard,
    add_model,
    archive,
    card,
    find_model,
    list_models,
    load_model,
    remove_model,
    store,
    verify_model,
    write_bundle,
)
from lckd.models.bundle import new_card
from lckd.models.checksums import sha256_of, write_sums
from lckd.network import LCKDNetwork, NetworkConfig, build_network
from lckd.sequences import Sequence, subset_name, subsets_of

CONFIG = NetworkConfig(channels=(4, 6, 8), decoder_channels=(3, 5))
DICE = {
    subset_name(subset): {"ET": 0.05 * index, "TC": None, "WT": 0.9}
    for index, subset in enumerate(subsets_of(), start=1)
}
METADATA, WEIGHTS = "configs/metadata.json", "models/model.pt"


def a_network(seed: int = 0) -> LCKDNetwork:
    torch.manual_seed(seed)
    return build_network(CONFIG).eval()


def a_card(network: LCKDNetwork, name: str = "tiny") -> ModelCard:
    return new_card(
        name,
        "tiny",
        network,
        "A network for tests.",
        dice=DICE,
        dice_basis="Measured on three patients that it never saw.",
        data_source="Nowhere; no data were used.",
        training={"patients": 0, "command": "none"},
    )


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network() -> LCKDNetwork:
    return a_network()


@pytest.fixture
def bundle(tmp_path, network) -> Path:
    folder = tmp_path / "tiny"
    write_bundle(folder, network, a_card(network))
    return folder


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch) -> Path:
    """An empty store of the user, and a program that carries no model."""
    folder = tmp_path / "store"
    monkeypatch.setenv("LCKD_MODELS", str(folder))
    monkeypatch.setattr(resources, "find", lambda name: None)
    return folder


def refusal(function, *arguments, **options) -> LckdError:
    """The error that a call ends with; every error has one sentence and one action."""
    with pytest.raises(LckdError) as caught:
        function(*arguments, **options)
    error = caught.value
    assert error.message.endswith(".")
    assert error.action.endswith(".")
    assert "\n" not in error.message
    return error


def edit_metadata(folder: Path, change) -> None:
    """Change the metadata and make the checksums right again."""
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    change(metadata)
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    write_sums(folder)


def edit_weights(folder: Path, change) -> None:
    state = torch.load(folder / WEIGHTS, weights_only=True)
    change(state)
    torch.save(state, folder / WEIGHTS)
    write_sums(folder)


def zipped(folder: Path, archive_path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(archive_path, "w") as opened:
        for path in folder.rglob("*"):
            if path.is_file():
                opened.write(path, top + path.relative_to(folder).as_posix())
    return archive_path


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
    wide = NetworkConfig("resnet_aspp", (8, 16, 32, 64, 16), (4, 8, 16, 32), "zero")
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


# --- the store ---


def test_adding_finding_and_removing(bundle, user_folder):
    entry = add_model(bundle)
    assert (entry.name, entry.path, entry.embedded) == ("tiny", user_folder / "tiny", False)
    assert os.listdir(user_folder) == ["tiny"]
    assert [e.name for e in list_models()] == ["tiny"]
    shutil.rmtree(bundle)
    assert load_model("tiny").path == user_folder / "tiny"
    remove_model("tiny")
    assert os.listdir(user_folder) == []
    assert refusal(remove_model, "tiny").code == "MODEL_NOT_FOUND"


def test_only_the_listed_files_are_added(bundle, user_folder):
    (bundle / "notes.txt").write_text("mine")
    add_model(bundle)
    assert not (user_folder / "tiny" / "notes.txt").exists()


def test_a_taken_name_is_refused(bundle, user_folder):
    add_model(bundle)
    before = sha256_of(user_folder / "tiny" / WEIGHTS)
    assert refusal(add_model, bundle).code == "MODEL_NAME_TAKEN"
    assert sha256_of(user_folder / "tiny" / WEIGHTS) == before


def test_embedded_models_come_first_and_stay(tmp_path, network, monkeypatch):
    embedded = tmp_path / "program"
    write_bundle(embedded / store.DEFAULT_MODEL, network, a_card(network, store.DEFAULT_MODEL))
    monkeypatch.setattr(resources, "find", lambda name: embedded if name == resources.MODELS else None)
    other = a_network(seed=1)
    write_bundle(tmp_path / "another", other, a_card(other, "another"))
    add_model(tmp_path / "another")
    assert [(e.name, e.embedded) for e in list_models()] == [(store.DEFAULT_MODEL, True), ("another", False)]
    assert find_model() == embedded / store.DEFAULT_MODEL
    assert load_model().name == store.DEFAULT_MODEL
    assert refusal(remove_model, store.DEFAULT_MODEL).code == "MODEL_EMBEDDED"
    assert refusal(add_model, embedded / store.DEFAULT_MODEL).code == "MODEL_NAME_TAKEN"


def test_a_damaged_model_does_not_hide_the_others(bundle, user_folder):
    add_model(bundle)
    shutil.copytree(user_folder / "tiny", user_folder / "broken")
    (user_folder / "broken" / METADATA).write_text("{")
    broken, tiny = list_models()
    assert (broken.name, broken.card, broken.problem.code) == ("broken", None, "MODEL_METADATA")
    assert tiny.card.name == "tiny"
    remove_model("broken")
    assert [e.name for e in list_models()] == ["tiny"]


def test_an_unknown_model_is_answered_with_the_known_ones(bundle):
    add_model(bundle)
    error = refusal(load_model, "nothing")
    assert error.code == "MODEL_NOT_FOUND"
    assert "tiny" in error.message
    assert refusal(load_model).code == "MODEL_NOT_FOUND"


def test_a_damaged_model_is_not_added(bundle, user_folder):
    edit_weights(bundle, lambda state: state.pop("decoder.head.bias"))
    assert refusal(add_model, bundle).code == "MODEL_ARCHITECTURE"
    assert os.listdir(user_folder) == []


def test_an_unwritable_store_is_said_so(bundle, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LCKD_MODELS", str(tmp_path / "file" / "store"))
    error = refusal(add_model, bundle)
    assert isinstance(error, OutputError)
    assert error.code == "NOT_WRITABLE"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/lckd/models"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "~/.local/share/lckd/models"),
        ("linux", {}, "~/.local/share/lckd/models"),
        ("darwin", {}, "~/Library/Application Support/lckd/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/lckd/models"),
        ("win32", {}, "~/AppData/Local/lckd/models"),
        ("linux", {"LCKD_MODELS": "/mine"}, "/mine"),
    ],
)
def test_the_users_folder_by_platform(platform, variables, expected, monkeypatch):
    for name in ("LCKD_MODELS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(store.sys, "platform", platform)
    assert store.user_models_dir() == Path(expected).expanduser()


# --- archives and addresses ---


@pytest.mark.parametrize("top", ["", "tiny/"])
def test_a_zip_is_added(bundle, tmp_path, user_folder, top):
    source = zipped(bundle, tmp_path / "model.zip", top)
    add_model(source, sha256=sha256_of(source))
    assert load_model("tiny").sha256 == sha256_of(bundle / WEIGHTS)
    assert os.listdir(user_folder) == ["tiny"]


def test_a_zip_with_another_hash_is_refused(bundle, tmp_path, user_folder):
    source = zipped(bundle, tmp_path / "model.zip")
    assert refusal(add_model, source, sha256="0" * 64).code == "MODEL_HASH"
    assert os.listdir(user_folder) == []


def test_a_zip_is_no_model_before_it_is_added(bundle, tmp_path):
    error = refusal(load_model, zipped(bundle, tmp_path / "model.zip"))
    assert error.code == "MODEL_NOT_FOUND"
    assert "lckd models add" in error.action


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped", "/tmp/escaped", "C:/escaped", "..\\escaped"])
def test_a_zip_that_escapes_is_refused(bundle, tmp_path, user_folder, name):
    source = zipped(bundle, tmp_path / "model.zip")
    with zipfile.ZipFile(source, "a") as opened:
        opened.writestr(name, "outside")
    assert refusal(add_model, source).code == "MODEL_ARCHIVE_UNSAFE"
    assert os.listdir(user_folder) == []
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_zip_with_a_link_is_refused(bundle, tmp_path, user_folder):
    source, link = zipped(bundle, tmp_path / "model.zip"), zipfile.ZipInfo("docs/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(source, "a") as opened:
        opened.writestr(link, "/etc")
    assert refusal(add_model, source).code == "MODEL_ARCHIVE_UNSAFE"
    assert os.listdir(user_folder) == []


def test_a_zip_bomb_is_refused(bundle, tmp_path, monkeypatch):
    many = zipped(bundle, tmp_path / "many.zip")
    with zipfile.ZipFile(many, "a") as opened:
        for index in range(archive.MAX_FILES):
            opened.writestr(f"docs/{index}", "")
    assert refusal(add_model, many).code == "MODEL_ARCHIVE_SIZE"
    large = zipped(bundle, tmp_path / "large.zip")
    with zipfile.ZipFile(large, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("docs/zeros", bytes(1 << 22))
    monkeypatch.setattr(archive, "MAX_BYTES", 1 << 22)
    assert refusal(add_model, large).code == "MODEL_ARCHIVE_SIZE"


def test_what_is_no_zip_is_refused(bundle, tmp_path, user_folder):
    (tmp_path / "text.zip").write_text("no archive")
    assert refusal(add_model, tmp_path / "text.zip").code == "MODEL_ARCHIVE"
    source = zipped(bundle, tmp_path / "damaged.zip")
    content = source.read_bytes()
    source.write_bytes(content.replace(b"A network for tests", b"A network for jests"))
    assert refusal(add_model, source).code == "MODEL_ARCHIVE"
    assert refusal(add_model, tmp_path / "absent.zip").code == "MODEL_NOT_FOUND"
    assert os.listdir(user_folder) == []


class _Response(io.BytesIO):
    """What an opener gives."""

    def __init__(self, content: bytes, url: str) -> None:
        super().__init__(content)
        self.url = url
        self.headers = {"Content-Length": str(len(content))}

    def geturl(self) -> str:
        return self.url


URL = "https://example.org/tiny.zip"


def test_a_model_is_downloaded_by_address_and_hash(bundle, tmp_path, user_folder):
    source, received = zipped(bundle, tmp_path / "model.zip"), []
    content, asked = source.read_bytes(), []

    def opener(url: str) -> _Response:
        asked.append(url)
        return _Response(content, url)

    add_model(URL, sha256_of(source), opener, lambda *amounts: received.append(amounts))
    assert asked == [URL]
    assert received[-1] == (len(content), len(content))
    assert load_model("tiny").name == "tiny"
    assert os.listdir(user_folder) == ["tiny"]


@pytest.mark.parametrize(
    ("url", "sha256", "landing", "code"),
    [
        (URL, "right", "http://example.org/tiny.zip", "MODEL_URL"),
        (URL, "0" * 64, URL, "MODEL_HASH"),
        (URL, None, URL, "MODEL_URL_HASH"),
        (URL, "abc", URL, "MODEL_URL_HASH"),
        ("http://example.org/tiny.zip", "right", URL, "MODEL_URL"),
        ("file:///etc/passwd", "right", URL, "MODEL_URL"),
    ],
    ids=["leads to http", "other hash", "no hash", "short hash", "http", "file"],
)
def test_other_downloads_are_refused(bundle, tmp_path, user_folder, url, sha256, landing, code):
    source = zipped(bundle, tmp_path / "model.zip")
    wanted = sha256_of(source) if sha256 == "right" else sha256
    error = refusal(add_model, url, wanted, lambda _: _Response(source.read_bytes(), landing))
    assert (type(error), error.code) == (ModelError, code)
    assert os.listdir(user_folder) == []


def test_a_broken_connection_leaves_nothing(user_folder):
    def opener(url: str) -> _Response:
        raise ConnectionResetError("the connection was reset")

    assert refusal(add_model, URL, "0" * 64, opener).code == "MODEL_DOWNLOAD"
    assert os.listdir(user_folder) == []


def test_a_finished_download_replaces_its_part(tmp_path):
    target, content = tmp_path / "model.zip", b"content"
    with pytest.raises(ModelError):
        archive.download(URL, "0" * 64, target, lambda url: _Response(content, url))
    assert os.listdir(tmp_path) == []
    archive.download(URL, hashlib.sha256(content).hexdigest(), target, lambda url: _Response(content, url))
    assert target.read_bytes() == content
    assert os.listdir(tmp_path) == ["model.zip"]


# --- resources and imports ---


@pytest.mark.parametrize("place", ["lckd/_resources", "Resources", "../Resources"])
def test_resources_are_found_in_wheel_extension_and_checkout(tmp_path, monkeypatch, place):
    monkeypatch.undo()
    module = tmp_path / "Module"
    (module / "lckd").mkdir(parents=True)
    monkeypatch.setattr(resources, "__file__", str(module / "lckd" / "resources.py"))
    assert resources.find("Models") is None
    assert refusal(resources.resource_dir).code == "RESOURCE_MISSING"
    assert refusal(resources.sample_case_dir).exit_status == 3
    for name in ("Models", "SampleCase"):
        (module / place / name).mkdir(parents=True)
    assert resources.resource_dir() == (module / place).resolve()
    assert resources.sample_case_dir() == (module / place / "SampleCase").resolve()


def test_a_list_of_models_needs_no_torch():
    code = (
        "import sys, lckd.models as m; m.list_models(); "
        "print(sorted({'torch', 'monai', 'SimpleITK', 'jsonschema'} & set(sys.modules)))"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert result.stdout.strip() == "[]"
