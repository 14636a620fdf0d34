"""TAR archives that leave their folder, grow without end or end twice, and those that honest tools write (T16)."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from pathlib import Path

import pytest

from releaser.inspect import archive
from tests.inspect.build import entry, look, problems, tar_of, tgz_of

FILES = {"top/a.txt": b"alpha" * 999, "top/b.txt": b"beta"}
ENTRIES = [entry("top/a.txt", b"alpha" * 999), entry("top/b.txt", b"beta")]
TAR = tar_of(ENTRIES)


def packed(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return gzip.compress(tar_of(entries), 1)


def with_headers(**headers: str) -> tuple[tarfile.TarInfo, bytes]:
    info, data = entry("a", b"x" * 600)
    info.pax_headers = headers
    return info, data


def with_globals(**headers: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.TarFile(fileobj=buffer, mode="w", pax_headers=headers) as out:
        out.addfile(entry("a")[0])
    return gzip.compress(buffer.getvalue())


def sized(info: tarfile.TarInfo, size: int) -> bytes:
    """A header that states *size*, with no data behind it."""
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def tampered(old: bytes, new: bytes) -> bytes:
    """A tar with a word in a header or in data replaced and the checksum of the header left as it was."""
    assert len(old) == len(new)
    assert old in TAR
    return gzip.compress(TAR.replace(old, new))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("a.tar", TAR, id="plain"),
        pytest.param("a.tar.gz", gzip.compress(TAR), id="gzip"),
        pytest.param("a.tgz", tgz_of(FILES), id="tgz"),
        pytest.param("a.tar.bz2", bz2.compress(TAR), id="bzip2"),
        pytest.param("a.tar.bz2", bz2.compress(TAR[:700]) + bz2.compress(TAR[700:]), id="bzip2 in two streams"),
        pytest.param("a.tar.xz", lzma.compress(TAR), id="xz"),
        pytest.param("A.TAR.GZ", gzip.compress(TAR), id="upper case"),
        pytest.param("a.tar", tar_of(ENTRIES, tarfile.USTAR_FORMAT), id="ustar"),
        pytest.param(
            "a.tar", tar_of([entry("top/a.txt", b"x" * 5000), entry("n" * 300, b"")], tarfile.GNU_FORMAT), id="gnu"
        ),
    ],
)
def test_archives_of_honest_tools_have_no_problems(tmp_path: Path, name: str, data: bytes) -> None:
    found = look(tmp_path, name, data).contents
    assert found.problems == ()
    assert found.entries == 2
    assert found.unpacked in (4999, 5000)


@pytest.mark.parametrize(
    "link",
    ["b.txt", "../top/b.txt", "../lib/x.so.1", "./b.txt", "missing"],
)
def test_links_that_stay_inside_are_fine(tmp_path: Path, link: str) -> None:
    data = packed(*ENTRIES, entry("top/l", type=tarfile.SYMTYPE, link=link))
    assert problems(tmp_path, "a.tar.gz", data) == ""


def test_global_header_of_git_archive_is_fine(tmp_path: Path) -> None:
    assert problems(tmp_path, "a.tar.gz", with_globals(comment="0" * 40)) == ""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(packed(entry("../x")), "entry '../x' leaves the archive", id="up"),
        pytest.param(packed(entry("/etc/x")), "entry '/etc/x' has an absolute name", id="absolute"),
        pytest.param(packed(entry("a/.")), "entry 'a/.' has no name", id="no last part"),
        pytest.param(packed(entry("a\\b")), "has a backslash in its name", id="backslash"),
        pytest.param(packed(entry("a\x1bb")), "entry 'a\\x1bb' has control characters", id="escape"),
        pytest.param(packed(entry("a"), entry("a")), "entry 'a' is there twice", id="duplicate"),
        pytest.param(packed(entry("A"), entry("a")), "entries 'A' and 'a' are one file", id="case twins"),
        pytest.param(
            packed(entry("a"), entry("l", type=tarfile.LNKTYPE, link="a")), "'l' is a hard link", id="hard link"
        ),
        pytest.param(packed(entry("d", type=tarfile.CHRTYPE)), "entry 'd' is a device", id="device"),
        pytest.param(packed(entry("p", type=tarfile.FIFOTYPE)), "entry 'p' is a device", id="pipe"),
        pytest.param(
            packed(entry("l", type=tarfile.SYMTYPE, link="/etc")),
            "'l' points to '/etc', which is no relative",
            id="abs link",
        ),
        pytest.param(
            packed(entry("d/l", type=tarfile.SYMTYPE, link="../../x")),
            "'../../x', which leaves the archive",
            id="link up",
        ),
        pytest.param(
            packed(entry("d/l", type=tarfile.SYMTYPE, link="e/../../..")),
            "which may leave the archive",
            id="link up later",
        ),
        pytest.param(
            packed(entry("l", type=tarfile.SYMTYPE, link="d"), entry("l/x")),
            "entry 'l/x' lies below 'l', which is no folder",
            id="through a link",
        ),
        pytest.param(
            packed(entry("d", b"x", type=tarfile.DIRTYPE)), "'d' is a folder and has content", id="full folder"
        ),
        pytest.param(packed(), "the archive holds nothing", id="no entries"),
        pytest.param(with_globals(path="elsewhere"), "global header that renames or resizes", id="global path"),
        pytest.param(packed(with_headers(size="0")), "entry 'a' states two sizes", id="two sizes"),
        pytest.param(
            packed(with_headers(**{"GNU.sparse.size": "600", "GNU.sparse.map": "0,1"})), "is sparse", id="sparse"
        ),
        pytest.param(packed(with_headers(x="y" * 70_000)), "it has a header of ", id="large header"),
        pytest.param(tampered(b"top/b.txt", b"top/c.txt"), "it does not end where the last entry", id="damaged header"),
        pytest.param(gzip.compress(TAR[:1500]), "not a readable tar", id="cut in an entry"),
        pytest.param(gzip.compress(TAR[: TAR.rindex(b"beta") + 512]), "it does not end where", id="no end"),
        pytest.param(gzip.compress(TAR + b"x"), "bytes follow its end", id="bytes behind the tar"),
        pytest.param(gzip.compress(TAR) + b"x", "bytes follow the end of its compressed", id="bytes behind the gzip"),
        pytest.param(gzip.compress(TAR) * 2, "bytes follow the end of its compressed", id="second gzip member"),
        pytest.param(gzip.compress(TAR)[:-1], "its compressed data is cut short", id="cut gzip"),
        pytest.param(
            gzip.compress(sized(tarfile.TarInfo("a"), 1 << 40)), "unexpected end of data", id="a size too large"
        ),
        pytest.param(b"no gzip", "not a readable tar: ", id="text"),
        pytest.param(gzip.compress(b"no tar" * 99), "not a readable tar: ", id="gzip of text"),
        pytest.param(
            packed(entry("top/package.json", bytes(archive.MAX_MANIFEST + 1))),
            "too large for a manifest",
            id="manifest",
        ),
    ],
)
def test_problems(tmp_path: Path, data: bytes, problem: str) -> None:
    assert problem in problems(tmp_path, "a.tar.gz", data)


def test_a_negative_size_is_a_problem(tmp_path: Path) -> None:
    """Which one depends on the Python: some refuse the header, others hand it on."""
    assert problems(tmp_path, "a.tar.gz", gzip.compress(sized(tarfile.TarInfo("a"), -1024))) != ""


def test_long_chain_of_headers_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    header = info.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    assert problems(tmp_path, "a.tar", header * 2000).startswith("not a readable tar: ")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_bomb_stops_at_the_limit(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "RATIO_FROM", 4 << 20)
    header, block = sized(tarfile.TarInfo("zeros"), 1 << 40), bytes(1 << 20)
    squeeze: dict[str, bytes] = {
        "a.tar.gz": gzip.compress(header + block * 6),
        "a.tar.bz2": bz2.compress(header + block * 6),
        "a.tar.xz": lzma.compress(header + block * 6),
    }
    assert "it unpacks to more than 4194304 bytes" in problems(tmp_path, name, squeeze[name])


def test_limit_is_fifty_times_the_size_between_64_mib_and_2_gib() -> None:
    sizes = [1, 2 << 20, 1 << 30]
    assert [archive.Listing(size).limit for size in sizes] == [64 << 20, 100 << 20, 2 << 30]


def test_entries_are_counted() -> None:
    listing = archive.Listing(1)
    for number in range(100_000):
        listing.add(str(number), 0, archive.EntryKind.FILE)
    with pytest.raises(archive.Stop, match="more than 100000 entries"):
        listing.add("one more", 0, archive.EntryKind.FILE)


def test_inflate_gives_at_most_a_chunk_at_a_time() -> None:
    squeezed = zlib.compress(bytes(10 << 20), 1)
    sizes = [len(chunk) for chunk in archive.inflate(iter([squeezed]), zlib.MAX_WBITS)]
    assert sum(sizes) == 10 << 20
    assert max(sizes) <= archive.CHUNK
