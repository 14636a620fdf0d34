"""ZIP archives in which two readers would see two things, and those that honest tools write (T16, T17)."""

from __future__ import annotations

import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inspect.build import look, problems, zip_of

GOOD = zip_of({"a.txt": b"alpha" * 99, "b.txt": b"beta"})
START = GOOD.index(b"PK\1\2")
END = GOOD.index(b"PK\5\6")


def patched(data: bytes, position: int, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]


def twice(old: bytes, new: bytes) -> bytes:
    """Change the header of an entry and the central directory alike."""
    assert GOOD.count(old) == 2
    return GOOD.replace(old, new)


def with_mode(mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("a")
        info.external_attr = mode << 16
        archive.writestr(info, "target")
    return buffer.getvalue()


def streamed() -> bytes:
    """What a writer makes that cannot go back to fill in sizes: data descriptors."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise io.UnsupportedOperation

    buffer = Pipe()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "alpha" * 99)
        archive.writestr("b.txt", "beta")
    return buffer.getvalue()


def zip64_end(data: bytes, **changes: int) -> bytes:
    """*data* with ZIP64 end records; *changes* are made to what they say."""
    end = data.index(b"PK\5\6")
    count, length, start = struct.unpack_from("<HLL", data, end + 10)
    said = {"count": count, "length": length, "start": start, "where": end} | changes
    record = struct.pack(
        "<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, said["count"], said["count"], said["length"], said["start"]
    )
    return data[:end] + record + struct.pack("<4sLQL", b"PK\6\7", 0, said["where"], 1) + data[end:]


def zip64_local() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.txt", "w", force_zip64=True) as file:
        file.write(b"alpha")
    return buffer.getvalue()


def raw_zip(packed: bytes, unpacked: bytes, extra: bytes = b"") -> bytes:
    """One deflated entry whose compressed bytes are exactly *packed*."""
    numbers = (zlib.crc32(unpacked), len(packed), len(unpacked), 1, len(extra))
    local = struct.pack("<4sHHHHHLLLHH", b"PK\3\4", 20, 0, 8, 0, 0, *numbers) + b"a" + extra + packed
    central = struct.pack("<4sHHHHHHLLLHHHHHLL", b"PK\1\2", 20, 20, 0, 8, 0, 0, *numbers, 0, 0, 0, 0, 0) + b"a" + extra
    return local + central + struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)


def deflated(data: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(data) + squeeze.flush()


def shifted(gap: bytes) -> bytes:
    """Bytes that belong to no entry before the central directory, with the end record corrected."""
    data = GOOD[:START] + gap + GOOD[START:]
    return patched(data, END + len(gap) + 16, struct.pack("<L", START + len(gap)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(GOOD, id="deflated"),
        pytest.param(zip_of({"a": b"x", "d/": b"", "d/e": b""}, zipfile.ZIP_STORED), id="stored, with a folder"),
        pytest.param(zip_of({"a": b"x"}, comment=b"made by hand"), id="comment of the stated length"),
        pytest.param(streamed(), id="data descriptors"),
        pytest.param(zip64_local(), id="ZIP64 sizes in the entry"),
        pytest.param(zip64_end(GOOD), id="ZIP64 end records that agree"),
        pytest.param(zip_of({"größe.txt": b"x"}), id="name marked as UTF-8"),
        pytest.param(with_mode(stat.S_IFREG | 0o755), id="mode of a program"),
        pytest.param(raw_zip(deflated(b"x"), b"x", struct.pack("<HHB", 0x5455, 1, 0)), id="other extra fields"),
        pytest.param(raw_zip(b"", b""), id="deflated nothing"),
    ],
)
def test_archives_of_honest_tools_have_no_problems(tmp_path: Path, data: bytes) -> None:
    found = look(tmp_path, "a.zip", data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = [info.file_size for info in archive.infolist()]
    assert found.contents.problems == ()
    assert (found.contents.entries, found.contents.unpacked) == (len(sizes), sum(sizes))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../x", "entry '../x' leaves the archive"),
        ("a/../../x", "entry 'a/../../x' leaves the archive"),
        ("/etc/x", "entry '/etc/x' has an absolute name"),
        ("C:/x", "entry 'C:/x' has an absolute name"),
        ("a\\b", "entry 'a\\\\b' has a backslash in its name"),
        ("a\nb", "entry 'a\\nb' has control characters in its name"),
        ("a\u202eb", "entry 'a\\u202eb' has control characters in its name"),
        ("./", ""),
        (".", "entry '.' has no name"),
        ("n" * 1025, "has a name of more than 1024 characters"),
    ],
)
def test_names_that_unpack_elsewhere(tmp_path: Path, name: str, problem: str) -> None:
    found = problems(tmp_path, "a.zip", zip_of({name: b"" if name.endswith("/") else b"x"}))
    assert (problem in found) if problem else (found == "")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(twice(b"a.txt", b"a\0txt"), "entry 'a\\x00txt' has control characters", id="NUL"),
        pytest.param(with_mode(stat.S_IFLNK | 0o777), "entry 'a' is a link or a device", id="symlink"),
        pytest.param(with_mode(stat.S_IFCHR | 0o666), "entry 'a' is a link or a device", id="device"),
        pytest.param(with_mode(stat.S_IFDIR | 0o755), "by its name or by its mode, not both", id="folder by mode"),
        pytest.param(zip_of({"d/": b"x"}), "entry 'd/' is a folder and has content", id="folder with content"),
        pytest.param(twice(b"b.txt", b"a.txt"), "entry 'a.txt' is there twice", id="duplicate"),
        pytest.param(zip_of({"a": b"", "./a": b""}), "entry './a' is there twice", id="duplicate behind a dot"),
        pytest.param(zip_of({"A/b": b"", "a/B": b""}), "entries 'A/b' and 'a/B' are one file", id="case twins"),
        pytest.param(
            zip_of({unicodedata.normalize(form, "ö"): b"" for form in ("NFC", "NFD")}),
            "are one file on some systems",
            id="Unicode twins",
        ),
        pytest.param(
            zip_of({"a": b"", "a/b": b""}), "entry 'a/b' lies below 'a', which is no folder", id="below a file"
        ),
        pytest.param(twice(b"a.txt", b"\xe4.txt"), "neither ASCII nor marked as UTF-8", id="unmarked name"),
        pytest.param(zip_of({}), "the archive holds nothing", id="no entries"),
    ],
)
def test_entries_that_are_not_what_they_seem(tmp_path: Path, data: bytes, problem: str) -> None:
    assert problem in problems(tmp_path, "a.zip", data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(GOOD.replace(b"a.txt", b"c.txt", 1), "'a.txt' has another name in its own header", id="name"),
        pytest.param(patched(GOOD, 8, b"\0"), "'a.txt' has another method", id="method"),
        pytest.param(patched(GOOD, 6, b"\x08"), "'a.txt' has another method or other flags", id="flags"),
        pytest.param(patched(GOOD, 14, b"\0"), "'a.txt' has another size or checksum", id="checksum in the header"),
        pytest.param(patched(GOOD, 22, b"\1\0"), "'a.txt' has another size or checksum", id="size in the header"),
        pytest.param(b"MZ" + GOOD, "not a readable zip", id="bytes before"),
        pytest.param(GOOD + b"x", "1 bytes follow its end record", id="byte after"),
        pytest.param(GOOD + GOOD, "not a readable zip", id="two archives"),
        pytest.param(GOOD + GOOD[END:], "it has two end records", id="two end records"),
        pytest.param(
            GOOD[:END] + b"x" + GOOD[END:], "bytes lie between its central directory", id="gap before the end"
        ),
        pytest.param(shifted(b"hidden"), "6 bytes before the central directory belong to no entry", id="gap after"),
        pytest.param(patched(GOOD, END + 10, b"\3"), "spread over several disks", id="count on this disk"),
        pytest.param(patched(GOOD, END + 8, b"\3\0\3"), "does not hold 3 entries", id="fewer entries"),
        pytest.param(patched(GOOD, END + 8, b"\1\0\1"), "holds more than 1 entries", id="more entries"),
        pytest.param(patched(GOOD, START + 6, b"\x40"), "needs version 6.4 of the format", id="version"),
        pytest.param(patched(GOOD, START, b"XX"), "its central directory is damaged", id="damaged directory"),
        pytest.param(patched(GOOD, START + 42, b"\5"), "belong to no entry", id="entry elsewhere"),
        pytest.param(zip64_end(GOOD, count=1), "its two end records differ", id="ZIP64 count"),
        pytest.param(zip64_end(GOOD, where=1), "its ZIP64 end record is not where", id="ZIP64 elsewhere"),
        pytest.param(raw_zip(deflated(b"x") + b"hidden", b"x"), "bytes follow the end", id="bytes behind the data"),
        pytest.param(raw_zip(deflated(b"x")[:-1], b"x"), "is cut short", id="data cut short"),
        pytest.param(raw_zip(deflated(b"x"), b"y"), "does not unpack to the size and checksum", id="checksum"),
        pytest.param(raw_zip(deflated(bytes(9999)), b""), "does not unpack to the size", id="larger than stated"),
        pytest.param(
            raw_zip(deflated(b"x"), b"x", struct.pack("<HHBL", 0x7075, 6, 1, 0) + b"b"),
            "has a second name",
            id="Unicode path",
        ),
        pytest.param(
            raw_zip(deflated(b"x"), b"x", struct.pack("<HH", 1, 0) * 2), "an extra field is damaged", id="ZIP64 twice"
        ),
        pytest.param(
            raw_zip(deflated(b"x"), b"x", b"\x55\x54\x09\0"), "an extra field is damaged", id="extra too long"
        ),
    ],
)
def test_two_readings_are_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    assert problem in problems(tmp_path, "a.zip", data)


def test_overlapping_entries(tmp_path: Path) -> None:
    second = GOOD.index(b"PK\1\2", START + 4)
    assert "overlaps another" in problems(tmp_path, "a.zip", patched(GOOD, second + 42, bytes(4)))


def test_wrong_data_descriptor(tmp_path: Path) -> None:
    data = streamed()
    found = problems(tmp_path, "a.zip", patched(data, data.index(b"PK\7\x08") + 4, b"\0\0\0\0"))
    assert "entry 'a.txt' is followed by a wrong data descriptor" in found


def with_both(local: int, central: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: patched(patched(data, local, new), START + central, new)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(with_both(6, 8, b"\1"), "entry 'a.txt' is encrypted", id="encrypted"),
        pytest.param(
            with_both(6, 8, b"\x20"), "'a.txt' uses features that few readers know (flags 0x0020)", id="patch"
        ),
        pytest.param(with_both(8, 10, b"\x0c"), "uses compression method 12", id="bzip2"),
        pytest.param(with_both(22, 24, struct.pack("<L", 65 << 20)), "bytes, more than 67108864", id="over 50 times"),
    ],
)
def test_what_is_not_unpacked(tmp_path: Path, change: Callable[[bytes], bytes], problem: str) -> None:
    assert problem in problems(tmp_path, "a.zip", change(GOOD))


def test_too_many_entries_are_not_even_listed(tmp_path: Path) -> None:
    data = zip64_end(GOOD, count=100_001)
    found = look(tmp_path, "a.zip", patched(data, len(data) - 14, b"\xff\xff\xff\xff")).contents
    assert found.entries == 0
    assert "it has more than 100000 entries" in found.problems[0]


@pytest.mark.parametrize(
    "data", [b"x", b"PK\5\6", b"PK\3\4" + bytes(99), GOOD[:-1]], ids=["text", "mark", "start", "cut"]
)
def test_no_zip_at_all(tmp_path: Path, data: bytes) -> None:
    assert problems(tmp_path, "a.zip", data).startswith("not a readable zip: ")


def test_problems_are_few_and_short(tmp_path: Path) -> None:
    found = look(tmp_path, "a.zip", zip_of({f"../{'x' * 900}{n}": b"" for n in range(50)})).contents
    assert found.problems[-1] == "and 30 more problems"
    assert len(found.problems) == 21
    assert max(map(len, found.problems)) < 250
