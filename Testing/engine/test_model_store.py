"""Where models are kept: adding, finding and removing, archives that are hostile, downloads, resources."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tiny_models import METADATA, WEIGHTS, a_card, a_network, edit_weights, refusal

from lckd import resources
from lckd.errors import ModelError, OutputError
from lckd.models import add_model, archive, find_model, list_models, load_model, remove_model, store, write_bundle
from lckd.models.checksums import sha256_of


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch) -> Path:
    """An empty store of the user, and a program that carries no model."""
    folder = tmp_path / "store"
    monkeypatch.setenv("LCKD_MODELS", str(folder))
    monkeypatch.setattr(resources, "find", lambda name: None)
    return folder


def zipped(folder: Path, archive_path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(archive_path, "w") as opened:
        for path in folder.rglob("*"):
            if path.is_file():
                opened.write(path, top + path.relative_to(folder).as_posix())
    return archive_path


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


def test_a_folder_is_never_taken_for_a_listed_model_of_its_name(bundle, user_folder, tmp_path, network, monkeypatch):
    add_model(bundle)
    folder = tmp_path / "here" / "tiny"
    write_bundle(folder, network, a_card(network))
    monkeypatch.chdir(folder.parent)
    error = refusal(find_model, "tiny")
    assert (error.code, error.action) == ("MODEL_AMBIGUOUS", f"Write {os.path.join('.', 'tiny')} for the folder.")
    for reference in ("./tiny", Path("./tiny"), Path("tiny"), str(folder), folder):
        assert find_model(reference).samefile(folder), reference
    monkeypatch.chdir(user_folder)
    assert find_model("tiny") == user_folder / "tiny", "name and folder are the same model here"
    monkeypatch.chdir(folder.parent)
    shutil.rmtree(folder)
    assert find_model("tiny") == find_model(Path("tiny")) == user_folder / "tiny"


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


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_zip_that_is_packed_in_a_rare_way_is_refused(bundle, tmp_path, user_folder, method, damaged):
    source = zipped(bundle, tmp_path / "model.zip")
    with zipfile.ZipFile(source, "a", method) as opened:
        opened.writestr("docs/more", bytes(range(256)) * 40)
        start = opened.getinfo("docs/more").header_offset + 40
    content = bytearray(source.read_bytes())
    content[start : start + 20 * damaged] = b"\xff" * 20 * damaged
    source.write_bytes(content)
    error = refusal(add_model, source)
    assert (error.code, error.exit_status) == ("MODEL_ARCHIVE", 4)
    assert os.listdir(user_folder) == []


@pytest.mark.parametrize("name", [f"{METADATA}/inside", f"{METADATA}/inside/deep"])
def test_a_zip_with_a_file_in_a_file_is_refused(bundle, tmp_path, user_folder, name):
    source = zipped(bundle, tmp_path / "model.zip")
    with zipfile.ZipFile(source, "a") as opened:
        opened.writestr(name, "inside")
    error = refusal(add_model, source)
    assert (error.code, error.exit_status) == ("MODEL_ARCHIVE", 4)


def test_a_zip_with_a_name_that_is_no_text_is_refused(bundle, tmp_path):
    source = zipped(bundle, tmp_path / "model.zip")
    with zipfile.ZipFile(source, "a") as opened:
        opened.writestr("docs/ä", "name in UTF-8")
    source.write_bytes(source.read_bytes().replace("docs/ä".encode(), b"docs/\xff\xff"))
    assert refusal(add_model, source).code == "MODEL_ARCHIVE"


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
        ("https://[x/tiny.zip", "right", URL, "MODEL_URL"),
        (URL, "right", "https://[x/tiny.zip", "MODEL_URL"),
    ],
    ids=["leads to http", "other hash", "no hash", "short hash", "http", "file", "nonsense", "leads to nonsense"],
)
def test_other_downloads_are_refused(bundle, tmp_path, user_folder, url, sha256, landing, code):
    source = zipped(bundle, tmp_path / "model.zip")
    wanted = sha256_of(source) if sha256 == "right" else sha256
    error = refusal(add_model, url, wanted, lambda _: _Response(source.read_bytes(), landing))
    assert (type(error), error.code) == (ModelError, code)
    assert os.listdir(user_folder) == []


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), ssl.SSLError("record"), TimeoutError("timed out")])
@pytest.mark.parametrize("when", ["opening", "reading"])
def test_a_broken_connection_leaves_nothing(user_folder, error, when):
    def fails(*_):
        raise error

    def opener(url: str) -> _Response:
        response = _Response(b"", url)
        response.read = fails
        return fails() if when == "opening" else response

    refused = refusal(add_model, URL, "0" * 64, opener)
    assert (refused.code, refused.exit_status) == ("MODEL_DOWNLOAD", 4)
    assert os.listdir(user_folder) == []


def test_a_full_disk_is_not_blamed_on_the_network(user_folder):
    def full(*_):
        raise OSError(28, "No space left on device")

    refused = refusal(add_model, URL, "0" * 64, lambda url: _Response(b"content", url), full)
    assert (refused.code, refused.exit_status) == ("NOT_WRITABLE", 5)


def test_a_silent_server_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    asked = {}

    def urlopen(url, **options):
        asked.update(options)
        return _Response(b"content", url)

    monkeypatch.setattr(archive.urllib.request, "urlopen", urlopen)
    archive.download(URL, hashlib.sha256(b"content").hexdigest(), tmp_path / "model.zip")
    assert 0 < asked["timeout"] <= 60


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
        "print(sorted({'torch', 'monai', 'SimpleITK'} & set(sys.modules)))"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert result.stdout.strip() == "[]"


KILLED = """
import os, signal, sys
from lckd.models import add_model, store
store.verify_sums = lambda folder, required: os.kill(os.getpid(), signal.SIGKILL)
add_model(sys.argv[1])
"""
WAITING = """
import sys
from lckd.models import add_model, store
store.verify_sums = lambda folder, required: (print("busy", flush=True), sys.stdin.read(), [])[-1]
add_model(sys.argv[1])
"""


def test_what_a_killed_process_left_goes_with_the_next_one(bundle, user_folder, subprocess_environment):
    environment = subprocess_environment | {"LCKD_MODELS": str(user_folder)}
    command = [sys.executable, "-c", KILLED, str(zipped(bundle, bundle.parent / "model.zip"))]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    (left,) = user_folder.iterdir()
    assert any(left.rglob("*.pt"))
    add_model(bundle)
    assert os.listdir(user_folder) == ["tiny"]


def test_a_process_that_still_adds_a_model_keeps_its_folder(bundle, user_folder, subprocess_environment):
    environment = subprocess_environment | {"LCKD_MODELS": str(user_folder)}
    command = [sys.executable, "-c", WAITING, str(bundle)]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, **streams) as process:
        assert process.stdout.readline() == "busy\n"
        (working,) = user_folder.iterdir()
        store.remove_unfinished()
        assert working.exists()
        process.communicate()
    assert os.listdir(user_folder) == []
