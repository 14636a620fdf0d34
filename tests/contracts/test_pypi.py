"""The Python index: our adapter and the bare wire, against the rehearsal's index and two real servers.

What is documented is PyPI's (warehouse docs/user/api/{upload,index-api,json}.md, forklift/legacy.py; PEP 503, 691,
700, 714, 740).
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

import httpx
import pytest

from releaser.adapters.pypi import FILE_LIMIT
from releaser.model.facts import Listing, Presence
from tests.contracts.dists import Dist, sdist, stem, wheel
from tests.contracts.python_indexes import (
    ABSENT,
    DEVPI,
    JSON,
    PYPISERVER,
    UNAUTHENTIC,
    USER,
    Index,
    anchors,
    elsewhere,
    fixtures,
    said,
)
from tests.contracts.table import REHEARSAL, Documented, Instead

TITLE = "The Python index"
DAY = 86400.0
HTML = "text/html; charset=UTF-8"
NO_JSON = "it has no such page; our adapter reads the simple page"
BY_NAME = "it compares names only; the digest that is listed still decides"
UNREAD = "it looks at the names it stores by, and at nothing else"


def answer_of(documented: Documented, answer: str, at_pypiserver: str, at_devpi: str, why: str = UNREAD) -> str:
    """What this column's server answers; of two answers with one status the table says that the words differ."""
    others = {PYPISERVER.key: at_pypiserver, DEVPI.key: at_devpi}
    documented(
        answer[:3],
        **{
            key: Instead(f"{other[:3]} in other words" if other[:3] == answer[:3] else other[:3], why)
            for key, other in others.items()
            if other != answer
        },
    )
    return others.get(documented.column, answer)


at, index, project = fixtures(REHEARSAL, PYPISERVER, DEVPI)


class Upload(Protocol):
    def __call__(self, dist: Dist, *, token: str | None = None) -> str: ...


@pytest.fixture(params=["wire", "adapter"])
def upload(request: pytest.FixtureRequest, index: Index) -> Upload:
    """Both ways to send a distribution, which must be answered alike."""
    return index.send if request.param == "wire" else index.publish


# uploading


def test_first_upload(index: Index, upload: Upload, project: str) -> None:
    """A first upload creates the project and is read back with its digest"""
    dist = wheel(project)
    assert index.listed(dist) == Listing(package=False)

    assert upload(dist) == "200"

    assert index.listed(dist) == Listing(True, {dist.filename: f"sha256:{dist.sha256}"})
    assert index.presence(dist) is Presence.SAME
    assert index.objections(dist) == []


def test_wheel_and_sdist(index: Index, upload: Upload, project: str) -> None:
    """A wheel and a source distribution make one release"""
    dists = [wheel(project), sdist(project)]

    assert [upload(dist) for dist in dists] == ["200", "200"]

    assert index.listed(dists[0]) == Listing(True, {dist.filename: f"sha256:{dist.sha256}" for dist in dists})
    assert [index.objections(dist) for dist in dists] == [[], []]


def test_in_parallel(index: Index, upload: Upload, project: str) -> None:
    """Files of one release may arrive at the same time"""
    dists = [sdist(project), *(wheel(project, tag=f"{python}-none-any") for python in ("py3", "py311", "py312"))]

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(upload, dists)) == ["200"] * 4

    assert index.files(project) == {dist.filename: dist.sha256 for dist in dists}
    assert [index.presence(dist) for dist in dists] == [Presence.SAME] * 4


def test_same_again(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """The same bytes again are accepted, at any time, and change nothing"""
    dist = wheel(project)
    assert upload(dist) == "200"
    before = index.page(project).content
    index.later(30 * DAY)

    assert upload(dist) == documented(
        "200",
        pypiserver=Instead("409 Conflict", BY_NAME),
        devpi=Instead(
            "200 Upload of identical file to non volatile index.",
            "it answers with a web page, so the adapter takes it for a stranger's word and believes the digest alone",
        ),
    )
    assert index.page(project).content == before
    assert index.presence(dist) is Presence.SAME


def test_other_bytes(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """Other bytes under the same name are refused, and found by their digest"""
    dist, other = wheel(project), wheel(project, note="other")
    assert upload(dist) == "200"

    answer = documented(
        "400 File already exists ('{file}', with blake2_256 hash '{blake}').",
        pypiserver=Instead("409 Conflict", BY_NAME),
        devpi=Instead("409 {file} already exists in non-volatile index", "it has another status and other words"),
    )
    assert upload(other) == answer.format(file=other.filename, blake=_blake2(other.content))
    assert index.presence(dist) is Presence.SAME
    assert index.presence(other) is Presence.DIFFERENT


def test_same_bytes_elsewhere(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """The same bytes under another file name are refused"""
    dist = wheel(project)
    other = replace(dist, filename=dist.filename.replace("py3", "py2.py3"))
    assert upload(dist) == "200"

    answer = documented(
        "400 File already exists ('{file}', with blake2_256 hash '{blake}').", **elsewhere("200", BY_NAME)
    ).format(file=other.filename, blake=_blake2(dist.content))
    assert upload(other) == answer
    assert (other.filename in index.files(project)) is (answer == "200")


@pytest.mark.parametrize("field", ["sha256_digest", "blake2_256_digest", "md5_digest"])
def test_wrong_digest(index: Index, documented: Documented, project: str, field: str) -> None:
    """Bytes that do not have the digest of the form are refused"""
    dist = wheel(project)
    wrong = _digests(b"other")[field]
    answer = documented(
        "400 The digest supplied does not match a digest calculated from the uploaded file.", **elsewhere("200", UNREAD)
    )

    assert index.send(dist, fields={field: wrong}) == answer
    assert bool(index.files(project)) is (answer == "200")


def test_swapped_bytes(index: Index, documented: Documented, project: str) -> None:
    """Bytes that are not the approved ones are refused, as the adapter sends the approved digest"""
    dist, swapped = wheel(project), wheel(project, note="swapped")
    answer = documented(
        "400 The digest supplied does not match a digest calculated from the uploaded file.",
        **elsewhere("200", "it believes the bytes; the digest that is then listed tells that they are not ours"),
    )

    assert index.publish(dist, instead=swapped.content) == answer
    assert index.presence(dist) is (Presence.DIFFERENT if answer == "200" else Presence.ABSENT)


@pytest.mark.parametrize("field", ["sha256_digest", "blake2_256_digest", "md5_digest"])
def test_one_digest(index: Index, project: str, field: str) -> None:
    """One right digest is enough, whichever it is and however it is spelt"""
    dist = wheel(project)
    fields = {"sha256_digest": None, field: _digests(dist.content)[field].upper()}

    assert index.send(dist, fields=fields) == "200"
    assert index.presence(dist) is Presence.SAME


class Form:
    """One wrong form: *fields*, the documented answer, and those of the real servers."""

    def __init__(self, said: str, pypiserver: str = "200", devpi: str = "200", **fields: str | None) -> None:
        self.said, self.pypiserver, self.devpi, self.fields = said, pypiserver, devpi, fields


OTHER_NAME = "400 filename '{file}' does not match project name "
FORMS = {
    "no name": Form("400 name: This field is required.", devpi="500 Internal Server Error", name=None),
    "empty name": Form(
        "400 name: This field is required.", devpi='400 invalid metadata: Missing required field "name"', name=""
    ),
    "no version": Form("400 version: This field is required.", devpi="500 Internal Server Error", version=None),
    "unknown version": Form(
        "400 version: This field is required.",
        devpi="400 filename '{file}' does not contain version 'UNKNOWN'",
        version="UNKNOWN",
    ),
    "no metadata version": Form("400 metadata_version: This field is required.", metadata_version=None),
    "no file type": Form("400 filetype: This field is required.", filetype=None),
    "other file type": Form("400 Unknown type of file.", filetype="bdist_egg"),
    "other protocol": Form("400 Unknown protocol version.", protocol_version="2"),
    "no digest": Form("400 Include at least one message digest.", sha256_digest=None),
    "local version": Form(
        "400 The use of local versions in <Version('1.0+local')> is not allowed.",
        devpi="400 filename '{file}' does not contain version '1.0+local'",
        version="1.0+local",
    ),
    "no such version": Form("400 'one' is an invalid value for Version.", version="one"),
    "other version": Form(
        "400 Version in filename should be '1.1' not '1.0'.",
        devpi="400 filename '{file}' does not contain version '1.1'",
        version="1.1",
    ),
    "name that begins badly": Form(
        "400 '-widget' is an invalid value for Name.", devpi=f"{OTHER_NAME}'-widget'", name="-widget"
    ),
    "name that ends badly": Form(
        "400 'widget.' is an invalid value for Name.",
        devpi="400 invalid metadata: Invalid package name. Names must end with an ASCII letter or digit",
        name="widget.",
    ),
    "name with a blank": Form(
        "400 'wid get' is an invalid value for Name.", devpi=f"{OTHER_NAME}'wid get'", name="wid get"
    ),
    "name of one bad letter": Form("400 '_' is an invalid value for Name.", devpi=f"{OTHER_NAME}'_'", name="_"),
    "other name": Form(
        "400 Start filename for 'Ga-Dget' with 'ga_dget'.", devpi=f"{OTHER_NAME}'Ga-Dget'", name="Ga-Dget"
    ),
    "name of one letter": Form("400 Start filename for 'x' with 'x'.", devpi=f"{OTHER_NAME}'x'", name="x"),
    "licence that is not there": Form(
        "400 License-File no LICENSE does not exist in distribution file {file} at {stem}-1.0.dist-info/licenses",
        license_file="no\nLICENSE",
    ),
    "attestation by a person": Form(
        "400 Attestations are only supported when using Trusted Publishing", attestations="[{}]"
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_bad_metadata(index: Index, documented: Documented, project: str, form: Form) -> None:
    """Bad metadata is refused, with the sentence in the reason phrase"""
    dist = wheel(project)

    answer = answer_of(documented, form.said, form.pypiserver, form.devpi)
    assert index.send(dist, fields=form.fields) == answer.format(file=dist.filename, stem=stem(project))
    assert index.presence(dist) is (Presence.SAME if answer == "200" else Presence.ABSENT)


@pytest.mark.parametrize(
    ("action", "at_pypiserver", "at_devpi"), [(None, "400 Bad Request", "400 Bad Request"), ("submit", "200", "200")]
)
def test_other_action(
    index: Index, documented: Documented, project: str, action: str | None, at_pypiserver: str, at_devpi: str
) -> None:
    """A form that does not ask for an upload uploads nothing"""
    dist = wheel(project)

    answer = answer_of(documented, ABSENT, at_pypiserver, at_devpi, "it takes older actions")
    assert index.send(dist, fields={":action": action}) == answer
    assert index.presence(dist) is Presence.ABSENT


class File:
    """One wrong file: how it is made, the documented answer, and those of the real servers."""

    def __init__(self, said: str, make: Callable[[str], Dist], pypiserver: str = "200", devpi: str = "200") -> None:
        self.said, self.make, self.pypiserver, self.devpi = said, make, pypiserver, devpi


def named(filename: str) -> Callable[[str], Dist]:
    def make(project: str) -> Dist:
        return wheel(project, filename=filename.format(stem=stem(project)))

    return make


UNREADABLE = "400 Invalid distribution file."
BAD = "400 Bad Request"
WITHOUT = "400 Wheel '{file}' does not contain the required "
FILES = {
    "no wheel name": File(
        "400 Invalid wheel filename (wrong number of parts): '{stem}-1.0'", named("{stem}-1.0.whl"), pypiserver=BAD
    ),
    "version of another": File(
        "400 Version in filename should be '1.0' not '1.1'.",
        named("{stem}-1.1-py3-none-any.whl"),
        devpi="400 filename '{file}' does not contain version '1.0'",
    ),
    "name of another": File(
        "400 Start filename for '{project}' with '{stem}'.",
        named("gadget_{stem}-1.0-py3-none-any.whl"),
        devpi="400 filename '{file}' does not match project name '{project}'",
    ),
    "plain Linux": File(
        "400 Binary wheel '{file}' has an unsupported platform tag 'linux_x86_64'.",
        lambda project: wheel(project, tag="cp312-cp312-linux_x86_64"),
    ),
    "name not normalised": File(
        "400 Filename '{project}-1.0.tar.gz' is invalid, should be '{stem}-1.0.tar.gz'.",
        lambda project: sdist(project, filename=f"{project}-1.0.tar.gz"),
    ),
    "no zip": File(UNREADABLE, lambda project: replace(wheel(project), content=b"PK" + project.encode())),
    "no gzip": File(UNREADABLE, lambda project: replace(sdist(project), content=project.encode())),
    "no tar": File(UNREADABLE, lambda project: replace(sdist(project), content=gzip.compress(project.encode()))),
    "cut short": File(UNREADABLE, lambda project: replace(sdist(project), content=sdist(project).content[:90])),
    "no METADATA": File(
        WITHOUT + "METADATA file: {stem}-1.0.dist-info/METADATA", lambda project: wheel(project, without=["METADATA"])
    ),
    "no RECORD": File(
        WITHOUT + "RECORD file: {stem}-1.0.dist-info/RECORD", lambda project: wheel(project, without=["RECORD"])
    ),
    "no PKG-INFO": File(
        "400 PKG-INFO not found at {stem}-1.0/PKG-INFO", lambda project: sdist(project, without=["PKG-INFO"])
    ),
    "bomb": File(
        "400 Invalid distribution file. Archive exceeds the compression ratio.",
        lambda project: wheel(project, claims=(64 << 20) + 1),
    ),
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_bad_file(index: Index, documented: Documented, project: str, file: File) -> None:
    """A file that the index refuses is one that we object to beforehand"""
    dist = file.make(project)

    answer = answer_of(documented, file.said, file.pypiserver, file.devpi)
    assert index.send(dist) == answer.format(file=dist.filename, stem=stem(project), project=project)
    assert bool(index.files(project)) is (answer == "200" and dist.filename.startswith((stem(project), project)))
    assert index.objections(dist)


PLATFORMS = ["win_amd64", "manylinux_2_28_x86_64", "manylinux2014_aarch64", "musllinux_1_2_x86_64", "linux_armv7l"]
PLATFORMS += ["macosx_11_0_arm64", "macosx_10_9_x86_64", "win32", "win_arm64", "ios_13_0_arm64_iphoneos"]


def test_platforms(index: Index, project: str) -> None:
    """Wheels for the platforms of the allow-list are accepted"""
    dists = [wheel(project, tag=f"cp312-cp312-{platform}") for platform in PLATFORMS]

    assert {index.send(dist) for dist in dists} == {"200"}
    assert [index.objections(dist) for dist in dists] == [[]] * len(dists)


def test_dense_archives(upload: Upload, documented: Documented, project: str) -> None:
    """An archive may unpack to fifty times its size, and to 64 MiB whatever its size"""
    large = wheel(project, note="x" * (3 << 19))
    small, dense, denser = (
        wheel(project, tag=f"cp{n}-none-any", note=note, claims=claims)
        for n, note, claims in (
            (1, "", 64 << 20),
            (2, "x" * (3 << 19), 50 * len(large.content)),
            (3, "x" * (3 << 19), 50 * len(large.content) + 1),
        )
    )
    assert len(dense.content) == len(denser.content) == len(large.content)

    assert [upload(small), upload(dense)] == ["200", "200"]
    assert upload(denser) == documented(FILES["bomb"].said, **elsewhere("200", UNREAD))


@pytest.mark.parametrize("make", [wheel, sdist], ids=["wheel", "sdist"])
def test_licences(index: Index, project: str, make: Callable[..., Dist]) -> None:
    """A declared licence file that is in the archive is no obstacle"""
    dist = make(project, licences={"LICENSE": "MIT"})

    assert index.send(dist, fields={"license_file": "LICENSE"}) == "200"
    assert index.presence(dist) is Presence.SAME


def test_picture(index: Index, documented: Documented, project: str) -> None:
    """A file that calls itself a picture is refused"""
    dist = wheel(project)

    answer = documented(UNREADABLE, **elsewhere("200", UNREAD))
    assert index.send(dist, content_type="image/png") == answer
    assert index.presence(dist) is (Presence.SAME if answer == "200" else Presence.ABSENT)


@pytest.mark.parametrize("path", ["a/", "a\\"], ids=["slash", "backslash"])
def test_path_in_name(index: Index, documented: Documented, project: str, path: str) -> None:
    """A path in a file's name is refused"""
    dist = wheel(project)

    wrong = "400 Cannot upload a file with '/' or '\\' in the name."
    other = "400 filename '{file}' does not match project name '{project}'"
    answer = answer_of(documented, wrong, BAD, other)
    answer = answer.format(file=(path + dist.filename).replace("\\", "\\\\"), project=project)
    assert index.send(replace(dist, filename=path + dist.filename)) == answer
    assert index.presence(dist) is Presence.ABSENT


def test_two_sdists(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """A release has one source distribution, however its version is spelt"""
    dists = [sdist(project), sdist(project, "1.0.0"), sdist(project, "2.0"), wheel(project)]
    answer = documented(
        "400 Only one sdist may be uploaded per release.", **elsewhere("200", "it keeps files, not releases")
    )

    assert [upload(dist) for dist in dists] == ["200", answer, "200", "200"]
    assert (dists[1].filename in index.files(project)) is (answer == "200")


def test_fourteen_days(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """A release takes new files for fourteen days"""
    assert upload(wheel(project)) == "200"
    index.later(14 * DAY)
    assert upload(wheel(project, tag="py2-none-any")) == "200"
    index.later(1)

    answer = documented(
        "400 Uploading new files to releases older than 14 days is not allowed.",
        **elsewhere("200", "its releases have no age"),
    )
    assert upload(sdist(project)) == answer
    assert upload(sdist(project, "2.0")) == "200"
    assert len(index.files(project)) == (4 if answer == "200" else 3)


def test_removed_file(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """The name of a file that was deleted is never free again"""
    dist, other = wheel(project), wheel(project, note="other")
    assert upload(dist) == "200"
    why = "its index is not volatile: nothing can be deleted"
    assert index.remove(dist) == documented("200", devpi=Instead("400 action 'remove_pkg' not supported", why))
    assert index.presence(dist) is documented(Presence.ABSENT, devpi=Instead(Presence.SAME, why))

    answer = documented(
        "400 This filename was previously used by a file that has since been deleted. Use a different version.",
        pypiserver=Instead("200", "it forgets what it deleted"),
        devpi=Instead("409 {file} already exists in non-volatile index", why),
    )
    assert upload(other) == answer.format(file=other.filename)


@pytest.mark.parametrize("more", [0, 1], ids=["at the limit", "beyond it"])
def test_file_limit(index: Index, upload: Upload, documented: Documented, project: str, more: int) -> None:
    """A file larger than the project's limit is refused; without a raise the limit is the one that we object to"""
    assert index.file_limit == documented(FILE_LIMIT, **elsewhere(0, "it has no limit"))
    dist = wheel(project, note="x" * (2 << 20))
    index.configure(file_limit=len(dist.content) - more)

    size = (len(dist.content) - more) >> 20
    too_large = f"400 File too large. Limit for project '{{project}}' is {size} MB."
    answer = documented(too_large, **elsewhere("200", "it has no limit")) if more else "200"
    assert upload(dist) == answer.format(project=project)
    assert index.presence(dist) is (Presence.SAME if answer == "200" else Presence.ABSENT)


def test_unknown_fields(index: Index, project: str) -> None:
    """Fields that the index does not know are ignored"""
    dist = wheel(project)

    assert index.send(dist, fields={"colour": "blue", "name_": "other"}) == "200"
    assert index.presence(dist) is Presence.SAME


def test_unknown_value(index: Index, project: str) -> None:
    """The value UNKNOWN counts as none"""
    dist = wheel(project)

    assert index.send(dist, fields={"requires_python": "UNKNOWN", "summary": "UNKNOWN"}) == "200"
    (entry,) = index.document(project)["files"]
    assert not entry.get("requires-python")
    assert index.presence(dist) is Presence.SAME


def test_first_file_fixes_metadata(index: Index, documented: Documented, project: str) -> None:
    """The first file fixes the metadata of its release"""
    assert index.send(wheel(project), fields={"requires_python": ">=3.9"}) == "200"
    assert index.send(sdist(project), fields={"requires_python": ">=3.10"}) == "200"

    found = [entry.get("requires-python", "none") for entry in index.document(project)["files"]]
    assert sorted(found) == documented(
        [">=3.9", ">=3.9"],
        pypiserver=Instead(["none", "none"], "it shows no metadata"),
        devpi=Instead([">=3.10", ">=3.10"], "the last file's metadata are those of all"),
    )


def test_odd_bytes(index: Index, project: str) -> None:
    """Bytes that look like the form around them are kept as they are"""
    dist = sdist(project)
    tricky = b"\r\n--edge\r\r\n-\r\n--" + b"\r\n" * 5 + b"x" * (1 << 20) + b"\r\n--edg"
    dist = replace(dist, content=dist.content + tricky)

    assert index.send(dist) == "200"
    assert index.files(project) == {dist.filename: dist.sha256}


BROKEN = "500 Internal Server Error"


@pytest.mark.parametrize(
    ("answer", "body", "content_type", "at_pypiserver", "at_devpi"),
    [
        ("400 Upload payload is not multipart/form-data.", b"{}", "application/json", BAD, BROKEN),
        ("400 Upload payload is not multipart/form-data.", b"--edge--", "multipart/form-data", BROKEN, BROKEN),
        (
            "400 Upload payload ends in the middle of a part.",
            b'--edge\r\nContent-Disposition: form-data; name="name"\r\n\r\nwidget',
            "multipart/form-data; boundary=edge",
            BAD,
            BAD,
        ),
        (ABSENT, b"--edge--\r\n", "multipart/form-data; boundary=edge", BAD, BAD),
    ],
    ids=["no form", "no boundary", "cut short", "empty"],
)
def test_no_form(
    index: Index,
    documented: Documented,
    answer: str,
    body: bytes,
    content_type: str,
    at_pypiserver: str,
    at_devpi: str,
) -> None:
    """What is no form is refused"""
    wanted = answer_of(documented, answer, at_pypiserver, at_devpi, "it says no more")
    assert index.post(body, content_type) == wanted


def test_no_file(index: Index, documented: Documented, project: str) -> None:
    """A form without a file is refused"""
    form = {name: (None, value) for name, value in wheel(project).form().items()}
    answer = index.http.post(index.upload, files=form, auth=(USER, index.token))

    assert said(answer) == documented(
        "400 Upload payload does not have a file.",
        pypiserver=Instead(BAD, "it says no more"),
        devpi=Instead("400 content file field not found", "it has other words"),
    )
    assert index.listed(wheel(project)) == Listing(package=False)


@pytest.mark.parametrize("more", [0, 1], ids=["at the limit", "beyond it"])
def test_long_field(index: Index, documented: Documented, project: str, more: int) -> None:
    """A field of more than 8 MiB is refused"""
    dist = wheel(project)
    too_long = "400 description: Field is too long."
    answer = documented(too_long, **elsewhere("200", "it has no limit")) if more else "200"

    assert index.send(dist, fields={"description": "x" * ((8 << 20) + more)}) == answer
    assert index.presence(dist) is (Presence.SAME if answer == "200" else Presence.ABSENT)


def test_reason_phrase(index: Index, documented: Documented, project: str) -> None:
    """The words of a refusal are a reason phrase in ISO-8859-1, which the adapter shows"""
    sent, published = (wheel(project, tag=f"{tag}-none-any", header="License-File: MÍT\n") for tag in ("py3", "py311"))

    answer = documented(
        "400 License-File MÍT does not exist in distribution file {file} at {stem}-1.0.dist-info/licenses",
        **elsewhere("200", UNREAD),
    )
    given = {"file": sent.filename, "stem": stem(project)}
    assert index.send(sent, fields={"license_file": "MÍT"}) == answer.format(**given)
    assert index.publish(published) == answer.format(**{**given, "file": published.filename})


def test_refusal_page(index: Index, documented: Documented, project: str) -> None:
    """A refusal is also a page for people; what ISO-8859-1 has no sign for is whole there alone"""
    dist = wheel(project)
    answer = index.http.post(
        index.upload,
        data={**dist.form(), "name": "<b>→"},
        files={"content": (dist.filename, dist.content)},
        auth=(USER, index.token),
    )
    assert said(answer) == documented(
        "400 '<b>?' is an invalid value for Name.",
        pypiserver=Instead("200", UNREAD),
        devpi=Instead(BROKEN, "it breaks when it says so"),
    )
    title = "<title>400 &#x27;&lt;b&gt;?&#x27; is an invalid value for Name.</title>"
    body = "<body>&#x27;&lt;b&gt;→&#x27; is an invalid value for Name.</body>"
    no_page = elsewhere(False, "it has no such page")
    assert (f"<html><head>{title}</head>{body}</html>" == answer.text) is documented(True, **no_page)
    assert (answer.headers["Content-Type"] == HTML) is documented(True, devpi=no_page["devpi"])


# who may upload


@pytest.mark.parametrize("header", ["", "Basic", "Basic !", "Bearer {token}", "Basic {token}"])
def test_no_credential(index: Index, documented: Documented, project: str, header: str) -> None:
    """A request without credentials in the documented form is forbidden"""
    headers = {"Authorization": header.format(token=index.token)} if header else {}
    dist = wheel(project)
    answer = index.http.post(
        index.upload, data=dist.form(), files={"content": (dist.filename, dist.content)}, headers=headers
    )
    assert said(answer) == documented(UNAUTHENTIC, **elsewhere("401 Unauthorized", "it asks for a password"))
    assert index.presence(dist) is Presence.ABSENT


FORBIDDEN = {
    PYPISERVER.key: Instead("403 Forbidden", "it says no more"),
    DEVPI.key: Instead("401 Unauthorized", "it asks for the password again; the adapter takes that for a refusal too"),
}


@pytest.mark.parametrize("token", ["unknown", "schlüssel", "a:b"])
def test_bad_token(index: Index, upload: Upload, documented: Documented, project: str, token: str) -> None:
    """A token that the index does not know is forbidden"""
    assert upload(wheel(project), token=token) == documented(UNAUTHENTIC, **FORBIDDEN)
    assert index.presence(wheel(project)) is Presence.ABSENT


def test_other_user(index: Index, documented: Documented, project: str) -> None:
    """A token is good for the user __token__ alone"""
    assert index.send(wheel(project), user="somebody") == documented(UNAUTHENTIC, **FORBIDDEN)
    assert index.presence(wheel(project)) is Presence.ABSENT


def test_read_only(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """An index in read-only mode takes nothing"""
    index.configure(read_only=True)

    answer = documented(
        "403 Read-only mode: Uploads are temporarily disabled.", **elsewhere("200", "it has no such mode")
    )
    assert upload(wheel(project)) == answer
    assert index.presence(wheel(project)) is (Presence.SAME if answer == "200" else Presence.ABSENT)


def test_archived(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """An archived project takes nothing"""
    index.configure(archived={project})

    answer = documented(
        "403 Project '{project}' has been archived, and cannot accept new uploads.",
        **elsewhere("200", "it has no such state"),
    )
    assert upload(wheel(project)) == answer.format(project=project)
    assert index.presence(wheel(project)) is (Presence.SAME if answer == "200" else Presence.ABSENT)


def test_slash(index: Index, documented: Documented, project: str) -> None:
    """The upload address ends in a slash, and the adapter follows no redirect there"""
    slashless = replace(index, upload=index.upload.removesuffix("/"))

    answer = documented(
        "308 Permanent Redirect",
        pypiserver=Instead("200", "its form is at the root, whose slash HTTP adds"),
        devpi=Instead("200", "it takes both addresses"),
    )
    assert slashless.publish(wheel(project)) == answer
    raw = index.http.post(slashless.upload)
    redirects = raw.headers.get("Location") == index.upload
    assert redirects is documented(True, **elsewhere(False, "it redirects nowhere"))


# reading


def test_unknown_project(index: Index, project: str) -> None:
    """An unknown project is 404, for us no package"""
    assert index.page(project).status_code == 404
    assert index.get(f"/pypi/{project}/json").status_code == 404
    assert index.get(f"/pypi/{project}/1.0/json").status_code == 404
    assert index.listed(wheel(project)) == Listing(package=False)


def test_unknown_page(index: Index, documented: Documented, project: str) -> None:
    """A page that is not there says so in JSON, as the pages around it are"""
    answer = index.get(f"/pypi/{project}/json", Accept="application/json")

    assert said(answer) == ABSENT
    assert answer.headers["Content-Type"].partition(";")[0] == documented(
        "application/json", pypiserver=Instead("text/html", NO_JSON)
    )
    says = answer.text == '{"message": "Not Found"}'
    assert says is documented(True, **elsewhere(False, NO_JSON))


def test_empty_project(index: Index, documented: Documented, project: str) -> None:
    """A project without files is known, and shows none"""
    index.add_project(project)

    listing = documented(Listing(True), **elsewhere(Listing(package=False), "it has no project without a file"))
    assert index.listed(wheel(project)) == listing
    assert index.files(project) == {}
    assert said(index.get(f"/pypi/{project}/json")) == ABSENT


def test_other_version(index: Index, upload: Upload, project: str) -> None:
    """A version without files is no unknown package"""
    assert upload(wheel(project)) == "200"

    assert index.listed(wheel(project, "1.1")) == Listing(package=True)
    assert said(index.get(f"/pypi/{project}/1.1/json")) == ABSENT


ENTRY = frozenset(
    {"filename", "url", "hashes", "requires-python", "yanked"}  # PEP 691
    | {"size", "upload-time"}  # PEP 700
    | {"core-metadata", "data-dist-info-metadata"}  # PEP 714
    | {"provenance"}  # PEP 740
)


def test_simple_json(index: Index, documented: Documented, project: str) -> None:
    """The simple page in JSON has what PEP 691, 700, 714 and 740 say"""
    dists = [wheel(project, "1.10"), sdist(project, "1.9"), wheel(project, "2.0rc1")]
    assert {index.send(dist) for dist in dists} == {"200"}

    page, document = index.page(project), index.document(project)
    assert page.headers["Content-Type"] == documented(
        JSON, pypiserver=Instead(HTML, "it has HTML alone, of which the suite makes JSON for the adapter")
    )
    assert document["name"] == project
    assert document.get("meta") == documented(
        {"api-version": "1.3", "_last-serial": 3},
        pypiserver=Instead(None, "it has HTML alone"),
        devpi=Instead({"api-version": "1.0"}, "it has the first version of the API"),
    )
    assert document.get("versions") == documented(
        ["1.9", "1.10", "2.0rc1"], **elsewhere(None, "it has the first version of the API at most")
    )
    keys = documented(
        ENTRY,
        pypiserver=Instead(frozenset({"filename", "hashes"}), "its HTML says no more"),
        devpi=Instead(
            frozenset({"filename", "url", "hashes", "requires-python"}), "it has the first version of the API"
        ),
    )
    url = documented("{root}/files/{file}", devpi=Instead("../../+f/{begin}/{rest}/{file}", "it files by digest"))
    found = {entry["filename"]: entry for entry in document["files"]}
    for dist in dists:
        told = {"sha256": hashlib.sha256(dist.metadata).hexdigest()} if dist.metadata else False
        expected = {
            "filename": dist.filename,
            "url": url.format(root=index.root, file=dist.filename, begin=dist.sha256[:3], rest=dist.sha256[3:16]),
            "hashes": {"sha256": dist.sha256},
            "size": len(dist.content),
            "upload-time": "2027-01-15T08:00:00.000000Z",
            "requires-python": ">=3.8",
            "core-metadata": told,
            "data-dist-info-metadata": told,
            "yanked": False,
            "provenance": None,
        }
        assert found[dist.filename] == {key: expected[key] for key in keys}


def test_simple_html(index: Index, documented: Documented, project: str) -> None:
    """The simple page in HTML has the same, with the digest in the address"""
    dist = wheel(project)
    assert index.send(dist, fields={"requires_python": ">=3.8, <4"}) == "200"

    page = index.page(project, "text/html")
    assert page.headers["Content-Type"] == HTML
    assert page.text.startswith("<!DOCTYPE html>")
    assert ('<meta name="pypi:repository-version" content="1.3">' in page.text) is documented(
        True, **elsewhere(False, "it does not say which version of the API this is")
    )
    attributes = anchors(page.text)[dist.filename]
    assert urlsplit(attributes.pop("href")).fragment == f"sha256={dist.sha256}"
    told = {
        "data-requires-python": ">=3.8, <4",
        "data-core-metadata": f"sha256={hashlib.sha256(dist.metadata).hexdigest()}",
    }
    keys = documented(
        frozenset(told),
        pypiserver=Instead(frozenset(), "it shows no metadata"),
        devpi=Instead(frozenset({"data-requires-python"}), "it shows metadata files only when told to"),
    )
    assert attributes == {key: told[key] for key in keys}


@pytest.mark.parametrize(
    ("accept", "content_type", "at_devpi"),
    [
        ("", HTML, "text_html"),
        ("*/*", HTML, HTML),
        ("text/html", HTML, HTML),
        ("application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+html", "text_html"),
        (JSON, JSON, JSON),
        (f"{JSON}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", JSON, JSON),
        (f"{JSON};q=0.2, text/html", HTML, HTML),
        (f"{JSON}, text/html", HTML, HTML),
        ("image/png", HTML, "text_html"),
        (f"{JSON};q=0", HTML, "text_html"),
    ],
    ids=["nothing", "anything", "html", "versioned html", "json", "pip", "rather html", "either", "neither", "no json"],
)
def test_negotiation(
    index: Index, documented: Documented, project: str, accept: str, content_type: str, at_devpi: str
) -> None:
    """The simple page comes in the form that Accept likes best, in HTML when it likes none"""
    assert index.send(wheel(project)) == "200"

    page = index.page(project, accept)
    answer = _form(documented, content_type, at_devpi)
    assert (page.status_code, page.headers["Content-Type"]) == (200, answer)
    varies = "Accept" in page.headers.get("Vary", "")
    assert varies is documented(True, pypiserver=Instead(False, "it has one form"))


def _form(documented: Documented, content_type: str, at_devpi: str) -> str:
    """The form in which this column's server gives the page."""
    others = {PYPISERVER.key: HTML, DEVPI.key: at_devpi}
    fewer = {k: Instead(other, "it knows fewer forms") for k, other in others.items() if other != content_type}
    return documented(content_type, **fewer)


def test_etag(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """A page that is known is not sent again, until it changes"""
    assert upload(wheel(project)) == "200"
    unknown = elsewhere("200", "it has no ETag")

    tag = index.page(project).headers.get("ETag", '"none"')
    for known in (tag, f'"other", W/{tag}', "*"):
        again = index.page(project, if_none_match=known)
        assert said(again) == documented("304 Not Modified", **unknown)
        assert (again.content == b"" and again.headers.get("ETag") == tag) is documented(
            True, **elsewhere(False, "it has no ETag")
        )
    tag = index.get(f"/pypi/{project}/json").headers.get("ETag", '"none"')
    again = index.get(f"/pypi/{project}/json", if_none_match=tag)
    assert said(again) == documented("304 Not Modified", **elsewhere(ABSENT, NO_JSON))

    assert upload(sdist(project)) == "200"
    assert said(index.page(project, if_none_match=tag)) == "200"
    assert said(index.get(f"/pypi/{project}/json", if_none_match=tag)) == documented(
        "200", **elsewhere(ABSENT, NO_JSON)
    )


def test_serial(index: Index, documented: Documented, project: str) -> None:
    """Each page says how new it is"""
    why = "it does not count changes"
    for serial, dist in enumerate((wheel(project), sdist(project)), 1):
        assert index.send(dist) == "200"
        page = index.page(project)
        assert page.headers.get("X-PyPI-Last-Serial") == documented(str(serial), **elsewhere(None, why))


def test_projects(index: Index, documented: Documented, project: str) -> None:
    """The list of projects has each under its normal name, in order"""
    names = [f"{project}-a", f"{project}-b"]
    assert {index.send(wheel(name.replace("-", ".").upper())) for name in reversed(names)} == {"200"}

    links = [(name, link["href"]) for name, link in index.projects().items() if name in names]
    assert [name for name, _ in links] == names
    assert {said(index.http.get(str(httpx.URL(index.simple).join(href)))) for _, href in links} == {"200"}
    page = index.http.get(index.simple, headers={"Accept": JSON})
    kind = documented(JSON, pypiserver=Instead(HTML, "it has HTML alone"))
    assert page.headers["Content-Type"] == kind
    if kind == JSON:
        document = page.json()
        ours = [entry for entry in document["projects"] if entry["name"] in names]
        assert sorted(ours, key=lambda entry: str(entry["name"])) == [{"name": n} for n in names]
        first = Instead({"api-version": "1.0"}, "it has the first version of the API")
        assert document["meta"] == documented({"api-version": "1.3", "_last-serial": 2}, devpi=first)


@pytest.mark.parametrize(
    ("path", "location", "at_pypiserver", "at_devpi"),
    [
        ("{odd}/", "301 /simple/{name}/", "301 /simple/{name}/", "302 /__token__/index/+simple/{name}/"),
        ("{odd}", "301 /simple/{name}/", "301 /simple/{odd}/", "302 /__token__/index/+simple/{name}"),
        ("{name}", "301 /simple/{name}/", "301 /simple/{name}/", "302 /__token__/index/+simple/{name}/"),
    ],
    ids=["spelt otherwise", "without slash", "normal name without slash"],
)
def test_normal_name(
    index: Index, documented: Documented, project: str, path: str, location: str, at_pypiserver: str, at_devpi: str
) -> None:
    """Other spellings of a name lead to the normal one, which is the one that the adapter asks for"""
    assert index.send(wheel(project)) == "200"
    odd = project.replace("-", "_.").upper()

    answer = index.http.get(index.simple + path.format(name=project, odd=odd))
    found = f"{answer.status_code} {urlsplit(answer.headers['Location']).path}"
    wanted = answer_of(documented, location, at_pypiserver, at_devpi, "it redirects in its own way")
    assert found == wanted.format(name=project, odd=odd)
    assert index.registry.visible(odd, "1.0") == index.listed(wheel(project))


def test_version_page(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """The page of a version has every digest of its files"""
    dists = [wheel(project), sdist(project)]
    assert {upload(dist) for dist in [*dists, wheel(project, "0.9")]} == {"200"}

    for spelling in ("1.0", "1.0.0"):
        answer = index.get(f"/pypi/{project}/{spelling}/json")
        assert said(answer) == documented("200", **elsewhere(ABSENT, NO_JSON))
        if answer.status_code == 200:
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.headers["X-PyPI-Last-Serial"] == "3"
            assert answer.json() == {
                "info": _info(project, "1.0"),
                "urls": [_url(index, dist) for dist in dists],
                "vulnerabilities": [],
                "last_serial": 3,
            }


def test_project_page(index: Index, documented: Documented, project: str) -> None:
    """The page of a project has all its releases, and describes the latest that is final"""
    dists = [wheel(project, version) for version in ("1.10", "1.9", "2.0rc1")]
    assert {index.send(dist) for dist in dists} == {"200"}

    answer = index.get(f"/pypi/{project}/json")
    assert said(answer) == documented("200", **elsewhere(ABSENT, NO_JSON))
    if answer.status_code == 200:
        document = answer.json()
        assert document["info"] == _info(project, "1.10")
        assert document["urls"] == [_url(index, dists[0])]
        assert document["releases"] == {dist.version: [_url(index, dist)] for dist in dists}
        assert document["last_serial"] == 3


def test_prerelease_only(index: Index, documented: Documented, project: str) -> None:
    """A project that has pre-releases only is described by the latest of them"""
    assert {index.send(wheel(project, version)) for version in ("1.0rc10", "1.0rc9")} == {"200"}

    answer = index.get(f"/pypi/{project}/json")
    latest = answer.json()["info"]["version"] if answer.status_code == 200 else None
    assert latest == documented("1.0rc10", **elsewhere(None, NO_JSON))


def test_json_name(index: Index, documented: Documented, project: str) -> None:
    """JSON pages are under the normal name"""
    assert index.send(wheel(project)) == "200"

    for page in ("json", "1.0/json"):
        answer = index.get(f"/pypi/{project.upper()}/{page}")
        redirected = f"{answer.status_code} {answer.headers.get('Location', 'nowhere')}"
        wanted = documented("301 /pypi/{name}/{page}", **elsewhere("404 nowhere", NO_JSON))
        assert redirected == wanted.format(name=project, page=page)


@pytest.mark.parametrize("make", [wheel, sdist], ids=["wheel", "sdist"])
def test_download(
    index: Index, upload: Upload, documented: Documented, project: str, make: Callable[..., Dist]
) -> None:
    """What is linked is what was sent, and beside a wheel are its metadata"""
    dist = make(project)
    assert upload(dist) == "200"

    page = index.page(project, "text/html")
    address = str(page.url.join(anchors(page.text)[dist.filename]["href"])).partition("#")[0]
    file = index.http.get(address)
    assert file.content == dist.content
    assert file.headers["Content-Length"] == str(len(dist.content))
    types = {} if dist.metadata else elsewhere("application/x-tar", "it tells the type from the name")
    assert file.headers["Content-Type"] == documented("application/octet-stream", **types)
    beside = index.http.get(f"{address}.metadata")
    wanted = "200" if dist.metadata else ABSENT
    assert said(beside) == answer_of(documented, wanted, ABSENT, ABSENT, "it shows no metadata files")
    assert (beside.content == dist.metadata) is (said(beside) == "200")


def test_outside(index: Index) -> None:
    """No address leads out of the files"""
    (index.folder / "index").mkdir(exist_ok=True)
    (index.folder / "index" / "secret").write_text("x")

    answers = [said(index.get(f"/files/{path}")) for path in ("..%2Fsecret", "nothing.whl")]
    assert answers == [ABSENT, ABSENT]


def test_lag(index: Index, upload: Upload, documented: Documented, project: str) -> None:
    """What was accepted may show only later, a new project too"""
    at_once = "it shows what it has at once"
    index.configure(index_lag=60.0)
    dist, second = wheel(project), sdist(project)
    assert upload(dist) == "200"
    known = documented(False, **elsewhere(True, at_once))
    assert index.listed(dist).package is known
    assert [said(index.get(f"/pypi/{project}/json")), project in index.projects()] == [ABSENT, known]
    index.later(60)
    assert index.presence(dist) is Presence.SAME

    assert upload(second) == "200"
    assert index.presence(second) is documented(Presence.ABSENT, **elsewhere(Presence.SAME, at_once))
    index.later(59.9)
    assert index.presence(second) is documented(Presence.ABSENT, **elsewhere(Presence.SAME, at_once))
    index.later(0.1)
    assert index.presence(second) is Presence.SAME


def _blake2(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=32).hexdigest()


def _digests(content: bytes) -> dict[str, str]:
    """By their fields in the form."""
    return {
        "sha256_digest": hashlib.sha256(content).hexdigest(),
        "blake2_256_digest": _blake2(content),
        "md5_digest": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }


def _info(project: str, version: str) -> Mapping[str, object]:
    """``info`` of the JSON API."""
    told = {"summary": "A widget", "requires_python": ">=3.8"}
    return {"name": project, "version": version, "yanked": False, **told}


def _url(index: Index, dist: Dist) -> Mapping[str, object]:
    """One of ``urls`` of the JSON API."""
    digests = _digests(dist.content)
    return {
        "filename": dist.filename,
        "packagetype": "bdist_wheel" if dist.filename.endswith(".whl") else "sdist",
        "url": f"{index.root}/files/{dist.filename}",
        "size": len(dist.content),
        "digests": {
            "sha256": digests["sha256_digest"],
            "blake2b_256": digests["blake2_256_digest"],
            "md5": digests["md5_digest"],
        },
        "requires_python": ">=3.8",
        "upload_time_iso_8601": "2027-01-15T08:00:00.000000Z",
        "yanked": False,
        "yanked_reason": None,
    }
