"""Only regular files of bounded size, below model_root, whatever lies or is put in their place."""

import os
import shutil
import socket

import pytest

from nn_perception.bundle import CONFIG_FILE, ONNX_FILE, TENSORS_FILE, load_bundle, resolve_model
from nn_perception.bundle_files import BundleDirectory
from nn_perception.errors import BundleError
from nn_perception.share import shipped_model

NAMES = (CONFIG_FILE, ONNX_FILE, TENSORS_FILE)


@pytest.fixture
def root(tmp_path):
    """A model_root with one bundle, ``a``."""
    shutil.copytree(shipped_model("uwb_drone"), tmp_path / "root" / "a")
    return tmp_path / "root"


def load(name, root):
    return load_bundle(resolve_model(name, root), model_root=root)


def test_a_bundle_below_the_root_is_loaded_as_any_other(root):
    assert load("a", root).id == load_bundle(shipped_model("uwb_drone")).id
    shutil.copytree(root / "a", root / "deep" / "er" / "b")
    assert load("deep/er/b", root).name == "b"
    assert load("deep/../a", root).name == "a"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["fifo", "directory", "socket", "device"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(root, name, kind, monkeypatch):
    path = root / "a" / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        monkeypatch.chdir(path.parent)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(BundleError, match=r"no regular file|cannot read|symbolic link"):
        load("a", root)
    with pytest.raises(BundleError, match=r"no regular file|cannot read"):
        load_bundle(root / "a")


@pytest.mark.parametrize("name", NAMES)
def test_links_to_files_are_followed_only_without_a_root(root, name, tmp_path):
    (root / "a" / name).rename(tmp_path / name)
    (root / "a" / name).symlink_to(tmp_path / name)
    assert load_bundle(root / "a").name == "a"
    with pytest.raises(BundleError, match=f"{name} is a symbolic link"):
        load("a", root)


def test_a_link_to_a_bundle_within_the_root_is_a_name_for_it(root, tmp_path):
    (root / "latest").symlink_to("a")
    assert load("latest", root).name == "a"
    shutil.copytree(root / "a", tmp_path / "outside")
    (root / "away").symlink_to(tmp_path / "outside")
    (root / "inner").symlink_to(tmp_path)
    for name in ("away", "inner/outside", "a/../away", str(root / "away")):
        with pytest.raises(BundleError, match="outside model_root"):
            load(name, root)


@pytest.mark.parametrize("level", ["bundle", "parent"])
def test_a_link_put_in_place_between_check_and_opening(root, tmp_path, level):
    shutil.copytree(root / "a", root / "deep" / "b")
    shutil.copytree(shipped_model("digits"), tmp_path / "evil" / "b")
    checked = resolve_model("deep/b", root)
    swapped = checked if level == "bundle" else checked.parent
    swapped.rename(tmp_path / "aside")
    swapped.symlink_to(tmp_path / ("evil/b" if level == "bundle" else "evil"))
    with pytest.raises(BundleError, match="a link was put in its place"):
        load_bundle(checked, model_root=root)


def test_a_bundle_moved_while_it_is_read_is_read_to_its_end_or_refused(root, tmp_path):
    """Files are those of the directory that was opened, not of what bears its name by then."""
    with BundleDirectory(root / "a", root) as files:
        config = files.read(CONFIG_FILE, 1 << 20)
        (root / "a").rename(tmp_path / "aside")
        shutil.copytree(shipped_model("digits"), root / "a")
        assert files.read(CONFIG_FILE, 1 << 20) == config
        assert b'"digits"' not in config


def test_no_descriptor_is_left_open(root):
    before = len(os.listdir("/proc/self/fd"))
    (root / "a" / ONNX_FILE).write_bytes(b"")
    for _ in range(5):
        with pytest.raises(BundleError):
            load("a", root)
        with pytest.raises(BundleError):
            load_bundle(root.parent, model_root=root)
    assert len(os.listdir("/proc/self/fd")) == before


def test_limit_holds_while_a_file_grows(root, monkeypatch):
    path = root / "a" / CONFIG_FILE
    with BundleDirectory(root / "a") as files:
        assert len(files.read(CONFIG_FILE, path.stat().st_size)) == path.stat().st_size
        with pytest.raises(BundleError, match="more than the limit of 100"):
            files.read(CONFIG_FILE, 100)
        real = os.fstat(os.open(path, os.O_RDONLY))
        small = os.stat_result((*real[:6], 10, *real[7:]))  # as if it had been small a moment ago
        monkeypatch.setattr("nn_perception.bundle_files.os.fstat", lambda _: small)
        with pytest.raises(BundleError, match="grew beyond the limit of 100 bytes"):
            files.read(CONFIG_FILE, 100)


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "/", "//", "a/..", "../root", "../root/../root", "a\0b", "\0", "a\0",
        "x" * 5000, "a/" * 3000, "/etc", "/dev/stdin", "/proc/self/root", "/proc/self/cwd", "~",
        "A", "a ", " a", "\uff41", "a\u200b", "\u202ea", "\ud800", "a\nb", "a/config.json",
        "%2e%2e", "..\\root", "file:///a", "loop",
    ],
)  # fmt: skip
def test_names_that_are_no_bundle_below_the_root(root, name):
    (root / "loop").symlink_to("loop")
    with pytest.raises(BundleError) as error:
        resolve_model(name, root)
    text = str(error.value)
    assert len(text) < 1500
    assert text.isprintable()  # a log takes it as one line, and in the order that it has


def test_names_are_as_the_file_system_has_them(root):
    """No folding of case or form: what is another name for us is one for the file system, too."""
    for name in ("Modèle", "模型", "mode\u0300le"):
        shutil.copytree(root / "a", root / name)
        assert load(name, root).path.name == name
    with pytest.raises(BundleError, match="no model"):
        resolve_model("modèle", root)
