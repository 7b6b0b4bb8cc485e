from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nn_perception.datasets.download import (
    SETS,
    RemoteFile,
    RemoteSet,
    cache_directory,
    download,
)
from nn_perception.datasets.mnist import load_mnist
from nn_perception.errors import DownloadError

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
SMALL = b"the second file"


@dataclass
class Mirror:
    """A real server on this machine that misbehaves as told, and notes what it was asked."""

    files: dict[str, bytes] = field(default_factory=lambda: {"big": CONTENT, "small": SMALL})
    cut_after: list[int] = field(default_factory=list)  # for each answer: bytes until it closes
    ignores_range: bool = False
    wrong_range: bool = False
    chunked: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    mirror: Mirror

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        mirror, name, wanted = self.mirror, self.path.rsplit("/", 1)[1], self.headers.get("Range")
        mirror.asked.append((name, wanted))
        if name not in mirror.files:
            self.send_error(404, "Not Found")
            return
        data, start = mirror.files[name], 0
        if wanted and not mirror.ignores_range:
            start = int(wanted.removeprefix("bytes=").rstrip("-")) + mirror.wrong_range
            if start >= len(data):
                self.send_error(416, "Range Not Satisfiable")
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if not mirror.chunked:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + mirror.cut_after.pop(0) if mirror.cut_after else len(data)
        self.wfile.write(data[start:end])


@pytest.fixture
def serve() -> Iterator[Callable[..., Mirror]]:
    servers = []

    def start(**options: object) -> Mirror:
        mirror = Mirror(**options)
        handler = type("BoundHandler", (Handler,), {"mirror": mirror})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        mirror.url = f"http://127.0.0.1:{server.server_port}/sets/"
        return mirror

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def dead_url() -> str:
    """An address at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}/"


def remote(name: str, data: bytes) -> RemoteFile:
    return RemoteFile(name, len(data), hashlib.sha256(data).hexdigest())


def sets(*mirrors: Mirror | str, files: tuple[str, ...] = ("big",)) -> dict[str, RemoteSet]:
    known = {"big": remote("big", CONTENT), "small": remote("small", SMALL)}
    urls = tuple(mirror if isinstance(mirror, str) else mirror.url for mirror in mirrors)
    return {"things": RemoteSet(tuple(known[name] for name in files), urls)}


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_file_arrives_and_progress_is_told(serve, tmp_path):
    mirror, told = serve(), []
    table = sets(mirror, files=("big", "small"))
    folder = download(
        "things", tmp_path / "new" / "folder", lambda *step: told.append(step), sets=table
    )
    assert (folder / "big").read_bytes() == CONTENT
    assert (folder / "small").read_bytes() == SMALL
    assert leftovers(folder) == ["big", "small"]
    assert told[-1] == ("small", len(SMALL), len(SMALL))
    sizes = [done for name, done, total in told if name == "big"]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(CONTENT)


def test_a_cut_connection_is_resumed(serve, tmp_path):
    mirror = serve(cut_after=[100_000, 50_000])
    download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert mirror.asked == [("big", None), ("big", "bytes=100000-"), ("big", "bytes=150000-")]


def test_an_earlier_part_is_resumed(serve, tmp_path):
    (tmp_path / "big.part").write_bytes(CONTENT[:1234])
    mirror = serve()
    download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert mirror.asked == [("big", "bytes=1234-")]


def test_a_failed_download_keeps_its_part_for_the_next_call(serve, tmp_path):
    mirror = serve(cut_after=[70_000, 0])
    with pytest.raises(DownloadError, match="connection ended after 70000 of 300000"):
        download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big.part").read_bytes() == CONTENT[:70_000]
    download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert mirror.asked[-1] == ("big", "bytes=70000-")


def test_another_mirror_goes_on_where_the_first_stopped(serve, tmp_path):
    first, second = serve(cut_after=[70_000, 0]), serve()
    download("things", tmp_path, sets=sets(first, second))
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert second.asked == [("big", "bytes=70000-")]


def test_a_server_that_ignores_range_sends_all_again(serve, tmp_path):
    mirror = serve(cut_after=[100_000], ignores_range=True)
    download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert mirror.asked == [("big", None), ("big", "bytes=100000-")]


def test_a_server_without_content_length(serve, tmp_path):
    mirror = serve(cut_after=[100_000], chunked=True)
    download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big").read_bytes() == CONTENT


def test_a_server_that_sends_another_range_is_left(serve, tmp_path):
    (tmp_path / "big.part").write_bytes(CONTENT[:1234])
    first, second = serve(wrong_range=True), serve()
    download("things", tmp_path, sets=sets(first, second))
    assert (tmp_path / "big").read_bytes() == CONTENT


def test_a_wrong_checksum_leads_to_the_next_mirror(serve, tmp_path):
    wrong = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    first, second = serve(files={"big": wrong}), serve()
    download("things", tmp_path, sets=sets(first, second))
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert first.asked == [("big", None)]
    assert second.asked == [("big", None)]


def test_a_damaged_part_is_thrown_away(serve, tmp_path):
    (tmp_path / "big.part").write_bytes(b"x" * 1000)
    mirror = serve()
    download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert mirror.asked == [("big", "bytes=1000-"), ("big", None)]


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_that_is_too_long_or_wrong_is_thrown_away(serve, tmp_path, size):
    (tmp_path / "big.part").write_bytes(b"x" * size)
    mirror = serve()
    download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big").read_bytes() == CONTENT


def test_a_complete_part_needs_no_request(serve, tmp_path):
    (tmp_path / "big.part").write_bytes(CONTENT)
    mirror = serve()
    download("things", tmp_path, sets=sets(mirror))
    assert leftovers(tmp_path) == ["big"]
    assert mirror.asked == []


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("data", [CONTENT + b"more", b"<html>please log in</html>"])
def test_another_file_under_the_name_is_refused(serve, tmp_path, data, chunked):
    with pytest.raises(DownloadError):
        download("things", tmp_path, sets=sets(serve(files={"big": data}, chunked=chunked)))
    assert not (tmp_path / "big").exists()
    download("things", tmp_path, sets=sets(serve()))
    assert (tmp_path / "big").read_bytes() == CONTENT


def test_a_valid_file_is_not_asked_for(serve, tmp_path):
    (tmp_path / "big").write_bytes(CONTENT)
    mirror = serve()
    download("things", tmp_path, sets=sets(mirror))
    assert mirror.asked == []


@pytest.mark.parametrize("data", [CONTENT[:-1], b"?" * len(CONTENT), b""])
def test_a_corrupt_file_is_fetched_again(serve, tmp_path, data):
    (tmp_path / "big").write_bytes(data)
    mirror = serve()
    download("things", tmp_path, sets=sets(mirror))
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert mirror.asked == [("big", None)]


def test_failure_lists_every_mirror_with_its_reason(serve, tmp_path, dead_url):
    empty = serve(files={})
    wrong = serve(files={"big": CONTENT[::-1]})
    with pytest.raises(DownloadError) as caught:
        download("things", tmp_path, sets=sets(empty, dead_url, wrong))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("big: no mirror gave it")
    assert f"{empty.url}: HTTP 404 Not Found" in lines[1]
    assert dead_url in lines[2]
    assert "refused" in lines[2]
    assert f"{wrong.url}: wrong checksum" in lines[3]


def test_a_silent_server_is_given_up(tmp_path):
    with socket.socket() as sock:  # accepts (by its backlog), never answers
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        with pytest.raises(DownloadError, match="timed out"):
            download("things", tmp_path, sets=sets(url), timeout_s=0.2)


def test_an_unknown_name_is_refused():
    with pytest.raises(DownloadError, match=r"'mnst' is unknown.*did you mean 'mnist'"):
        download("mnst")


def test_a_directory_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be written"):
        download("things", tmp_path / "file" / "below", sets=sets())


def test_the_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "nn_perception"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_directory() == tmp_path / "home" / ".cache" / "nn_perception"


def test_the_default_directory_is_in_the_cache(serve, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download("things", sets=sets(serve())) == tmp_path / "nn_perception" / "things"


@pytest.mark.mnist
def test_mnist_arrives_from_a_mirror(serve, real_mnist, tmp_path):
    names = [file.name for file in SETS["mnist"].files]
    mirror = serve(files={name: (real_mnist / name).read_bytes() for name in names})
    table = {"mnist": RemoteSet(SETS["mnist"].files, (mirror.url,))}
    folder = download("mnist", tmp_path, sets=table)
    assert len(load_mnist(folder, "test")) == 10_000
