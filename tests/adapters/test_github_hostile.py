"""The forge against peers on loopback that stall, drip, swell, redirect and hang up."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from releaser.adapters.github import GitHub
from releaser.adapters.http import MAX_ANSWER, Limits
from releaser.engine.ports import Asset, Release
from releaser.errors import ReleaserError
from releaser.model.manifest import Person
from tests.adapters.peer import PATIENCE, Line, Peer, answer, answering, peer, saying

TOKEN = "ghp_" + "s" * 36
SHORT = Limits(connect=0.3, read=0.3, write=0.3, pool=0.3, total=PATIENCE)
DRIP = Limits(total=0.3)
LARGE = 64 << 20  # bytes; more than loopback holds on its way
ASSET = Asset(5, "tool", 4, "", True, Person(id=11, login="Ana"), True, datetime(2026, 1, 2, tzinfo=UTC))
BOMB = gzip.compress(b" " * (MAX_ANSWER + 1))
REPOSITORY = json.dumps({"id": 7, "full_name": "acme/tool", "default_branch": "main"}).encode()


def forge(at: Peer, **options: Any) -> GitHub:
    return GitHub("acme/tool", TOKEN, at.url, sleep=lambda _: None, **options)


def code(github: GitHub, work: Callable[[GitHub], object]) -> str:
    """The code of the error that *work* ends in, without our token in it."""
    with closing(github), pytest.raises(ReleaserError) as caught:
        work(github)
    assert TOKEN not in f"{caught.value} {vars(caught.value)}"
    return caught.value.code


def upload(at: Peer, file: Path) -> Callable[[GitHub], object]:
    """Upload *file* to a release there."""
    release = Release(3, "v1", "", True, False, (), "", upload_url=f"{at.url}/up{{?name}}")
    return lambda github: github.upload(release, "tool", file, lambda _: None)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that no peer takes in at once; it is sparse."""
    file = tmp_path / "large"
    with file.open("wb") as out:
        out.truncate(LARGE)
    return file


def stall(line: Line) -> None:
    line.over.wait(PATIENCE)


def hear_and_stall(line: Line) -> None:
    if line.hear():
        stall(line)


def hear_and_drip(line: Line) -> None:
    if line.hear():
        line.drip(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n ")


# Answers have an end


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(answer(body=b"[" + b" " * MAX_ANSWER), "answer-too-large", id="long"),
        pytest.param(answer(body=BOMB, Content_Encoding="gzip"), "answer-too-large", id="a bomb"),
        pytest.param(
            answer("404 Not Found", BOMB, Content_Encoding="gzip"), "answer-too-large", id="a bomb in an error"
        ),
        pytest.param(answer(body=b"nothing", Content_Encoding="gzip"), "answer-unreadable", id="no gzip"),
        pytest.param(
            answer(body=gzip.compress(REPOSITORY)[:-4], Content_Encoding="gzip"), "answer-unreadable", id="half of it"
        ),
        pytest.param(
            answer(body=gzip.compress(REPOSITORY) + bytes(LARGE), Content_Encoding="gzip"),
            "answer-unreadable",
            id="rubbish behind it",
        ),
        pytest.param(answer(body=REPOSITORY, Content_Encoding="br"), "answer-unreadable", id="an unasked encoding"),
    ],
)
def test_an_answer_that_swells_is_not_read_to_its_end(said: bytes, expected: str) -> None:
    with peer(answering(said)) as hostile:
        assert code(forge(hostile), GitHub.repository) == expected
        assert len(hostile.heard) == 1


def test_an_answer_in_gzip_is_understood() -> None:
    with peer(answering(answer(body=gzip.compress(REPOSITORY), Content_Encoding="gzip"))) as plain:
        with closing(forge(plain)) as github:
            assert github.repository().id == 7
        assert b"accept-encoding: gzip\r\n" in plain.heard[0][0].lower() + b"\r\n"


def test_a_file_is_kept_as_it_is_stored(tmp_path: Path) -> None:
    with peer(answering(answer(body=b"\x1f\x8b\0\0", Content_Encoding="gzip"))) as storage:
        with closing(forge(storage)) as github:
            github.download(ASSET, tmp_path / "tool", lambda _: None)
        assert b"accept-encoding: identity\r\n" in storage.heard[0][0].lower() + b"\r\n"
    assert (tmp_path / "tool").read_bytes() == b"\x1f\x8b\0\0"


# Every phase ends


@pytest.mark.parametrize(
    ("talk", "limits"),
    [
        pytest.param(stall, SHORT, id="no answer"),
        pytest.param(hear_and_stall, SHORT, id="no answer to what was heard"),
        pytest.param(hear_and_drip, DRIP, id="an answer that drips"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), SHORT, id="half an answer"),
        pytest.param(saying(b"SSH-2.0-x\r\n"), SHORT, id="another protocol"),
    ],
)
def test_a_read_ends(talk: Callable[[Line], None], limits: Limits) -> None:
    with peer(talk) as hostile:
        assert code(forge(hostile, limits=limits), GitHub.repository) == "forge-unreachable"


@pytest.mark.parametrize(
    ("talk", "limits"),
    [
        pytest.param(stall, SHORT, id="nobody listens"),
        pytest.param(hear_and_drip, Limits(total=0.3, slowest=LARGE), id="an answer that drips"),
        pytest.param(saying(answer("201 Created", b" " * (MAX_ANSWER + 1))), Limits(), id="an answer that swells"),
    ],
)
def test_an_upload_ends_in_what_is_not_known(large: Path, talk: Callable[[Line], None], limits: Limits) -> None:
    with peer(talk) as hostile:
        assert code(forge(hostile, limits=limits), upload(hostile, large)) == "forge-write-unknown"


def test_a_download_ends(tmp_path: Path) -> None:
    with peer(hear_and_drip) as hostile:

        def work(github: GitHub) -> None:
            github.download(ASSET, tmp_path / "tool", lambda _: None)

        assert code(forge(hostile, limits=DRIP), work) in ("asset-size", "forge-unreachable")
    assert not (tmp_path / "tool").exists()


# The token stays where it belongs


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
@pytest.mark.parametrize("writing", [False, True], ids=["read", "upload"])
def test_a_redirect_elsewhere_is_not_followed(tmp_path: Path, status: str, writing: bool) -> None:
    (tmp_path / "tool").write_bytes(b"ours")
    with (
        peer(answering(answer(body=REPOSITORY))) as elsewhere,
        peer(answering(answer(status, Location=f"{elsewhere.url}/repos/acme/tool"))) as hostile,
    ):
        work = upload(hostile, tmp_path / "tool") if writing else GitHub.repository
        assert code(forge(hostile), work) == "forge-moved"
        assert (len(hostile.heard), elsewhere.heard) == (1, [])


def test_storage_elsewhere_is_read_without_the_token(tmp_path: Path) -> None:
    with (
        peer(answering(answer(body=b"ours"))) as storage,
        peer(answering(answer("302 Found", Location=f"{storage.url}/tool"))) as api,
    ):
        with closing(forge(api)) as github:
            github.download(ASSET, tmp_path / "tool", lambda _: None)
        ((asked, _),), ((fetched, _),) = api.heard, storage.heard
    assert (tmp_path / "tool").read_bytes() == b"ours"
    assert f"authorization: token {TOKEN}".encode() in asked.lower()
    assert b"authorization" not in fetched.lower()
    assert TOKEN.encode() not in fetched
