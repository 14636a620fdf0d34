"""The Python clients that people have, unmodified: twine, uv and pip, against the rehearsal's index and a real one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.contracts.dists import Dist, attestation, sdist, stem, wheel
from tests.contracts.python_indexes import PYPISERVER, USER, Index, fixtures
from tests.contracts.servers import SERVERS
from tests.contracts.table import REHEARSAL, Documented, Instead
from tests.contracts.tls import in_front_of

TITLE = "Clients of the Python index"
UV = "venv/bin/uv"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a client said, and whether it was content."""

    end: str
    text: str

    @property
    def fine(self) -> bool:
        return self.end == "succeeds"


class Shell:
    """Runs clients in a folder of their own, with no configuration of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, *command: str | Path, **environ: str) -> Ran:
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "COLUMNS": "500",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_CACHE_DIR": "1",
            "UV_NO_CACHE": "1",
            "UV_NO_CONFIG": "1",
            "UV_PYTHON": sys.executable,
            "UV_PYTHON_DOWNLOADS": "never",
            **environ,
        }
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return Ran("fails" if done.returncode else "succeeds", done.stdout + done.stderr)

    def python(self, module: str, *arguments: str | Path, **environ: str) -> Ran:
        return self(sys.executable, "-m", module, *arguments, **environ)

    def uv(self, *arguments: str | Path, **environ: str) -> Ran:
        return self(SERVERS / UV, *arguments, **environ)


at, index, project = fixtures(*(replace(column, needs=(*column.needs, UV)) for column in (REHEARSAL, PYPISERVER)))


@pytest.fixture
def run(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "client")


def twine(run: Shell, index: Index, *dists: Dist, options: tuple[str, ...] = (), **environ: str) -> Ran:
    """``twine upload`` of *dists*, once ``twine check`` has found nothing wrong with them."""
    files = [dist.write(run.folder / "dist") for dist in dists]
    assert run.python("twine", "check", *files).fine
    given = {"TWINE_USERNAME": USER, "TWINE_PASSWORD": index.token, **environ}
    settings = ("--repository-url", index.upload, "--non-interactive", "--disable-progress-bar")
    return run.python("twine", "upload", *settings, *options, *files, **given)


def attest(dist: Dist, folder: Path) -> None:
    """Put an attestation of *dist* beside it, where twine and uv look for one."""
    (folder / f"{dist.filename}.publish.attestation").write_text(json.dumps(attestation(dist)))


def provenance(index: Index, project: str) -> list[bool]:
    """Whether each file of *project* is shown with attestations."""
    return [bool(entry.get("provenance")) for entry in index.document(project)["files"]]


def uv_publish(run: Shell, index: Index, *dists: Dist, options: tuple[str, ...] = (), **environ: str) -> Ran:
    for dist in dists:
        dist.write(run.folder / "dist")
    return run.uv("publish", *options, "dist/*", **{"UV_PUBLISH_URL": index.upload, **environ})


def shown(dists: tuple[Dist, ...]) -> dict[str, str]:
    return {dist.filename: dist.sha256 for dist in dists}


# uploading


def test_twine_upload(index: Index, run: Shell, project: str) -> None:
    """twine upload, after twine check"""
    dists = (wheel(project), sdist(project))
    done = twine(run, index, *dists)

    assert done.fine, done.text
    assert index.files(project) == shown(dists)
    assert [index.listed(dist).files[dist.filename] for dist in dists] == [f"sha256:{dist.sha256}" for dist in dists]


def test_twine_again(index: Index, run: Shell, documented: Documented, project: str) -> None:
    """twine upload of the same bytes, then of others under their name"""
    dist, other = wheel(project), wheel(project, note="other")
    assert index.publish(dist) == "200"

    again = twine(run, index, dist)
    assert again.end == documented("succeeds", pypiserver=Instead("fails", "it compares names only"))
    refused = twine(run, index, other)
    said = documented(
        "File already exists ('{file}', with blake2_256 hash",
        pypiserver=Instead("HTTPError: 400 Bad Request", "it says 400 to twine alone, and no more"),
    )
    assert not refused.fine
    assert said.format(file=other.filename) in refused.text
    assert index.files(project) == shown((dist,))


def test_twine_token(index: Index, run: Shell, documented: Documented, project: str) -> None:
    """twine upload with a token that the index does not know"""
    done = twine(run, index, wheel(project), TWINE_PASSWORD="pypi-unknown")

    assert not done.fine
    said = documented(
        "Invalid or non-existent authentication information.",
        pypiserver=Instead("403 Forbidden", "it says no more"),
    )
    assert said in done.text
    assert index.files(project) == {}


def test_twine_attestations(index: Index, run: Shell, documented: Documented, project: str) -> None:
    """twine upload --attestations, with the token of a job"""
    index.add_project(project)
    index.trust(project)
    dist = wheel(project)
    attest(dist, dist.write(run.folder / "dist").parent)
    attested = (f"dist/{dist.filename}.publish.attestation",)
    done = twine(run, index, dist, options=("--attestations", *attested), TWINE_PASSWORD=index.job_token(project))

    assert done.fine, done.text
    assert provenance(index, project) == documented([True], pypiserver=Instead([False], "it drops attestations"))


def test_uv_publish(index: Index, run: Shell, project: str) -> None:
    """uv publish with a token"""
    dists = (wheel(project), sdist(project))
    done = uv_publish(run, index, *dists, UV_PUBLISH_TOKEN=index.token)

    assert done.fine, done.text
    assert index.files(project) == shown(dists)


def test_uv_check_url(index: Index, run: Shell, project: str) -> None:
    """uv publish --check-url sends nothing that is there, and refuses other bytes by their digest"""
    dist, other = wheel(project), wheel(project, note="other")
    assert index.publish(dist) == "200"
    check = ("--check-url", index.simple)

    same = uv_publish(run, index, dist, options=check, UV_PUBLISH_TOKEN="pypi-unknown")
    assert same.fine, same.text
    assert "skipping" in same.text
    different = uv_publish(run, index, other, options=check, UV_PUBLISH_TOKEN="pypi-unknown")
    assert not different.fine
    assert dist.sha256 in different.text
    assert other.sha256 in different.text
    assert index.files(project) == shown((dist,))


def test_uv_trusted_publishing(index: Index, run: Shell, documented: Documented, project: str, tmp_path: Path) -> None:
    """uv publish --trusted-publishing always, over TLS, with the identity of the job and an attestation"""
    index.add_project(project)
    index.trust(project)
    dist = wheel(project)
    attest(dist, dist.write(run.folder / "dist").parent)
    where = urlsplit(index.upload)
    with in_front_of(where.port or 0, tmp_path) as (root, authority):
        done = uv_publish(
            run,
            index,
            dist,
            options=("--trusted-publishing", "always"),
            UV_PUBLISH_URL=root + where.path,
            SSL_CERT_FILE=str(authority),
            GITHUB_ACTIONS="true",
            ACTIONS_ID_TOKEN_REQUEST_URL=index.issuer.request_url,
            ACTIONS_ID_TOKEN_REQUEST_TOKEN=index.issuer.request_token,
        )
    wanted = documented("succeeds", pypiserver=Instead("fails", "it has no trusted publishing"))
    assert done.end == wanted, done.text
    assert index.files(project) == (shown((dist,)) if done.fine else {})
    assert not done.fine or provenance(index, project) == [True]


# installing


@pytest.fixture
def published(index: Index, project: str) -> Dist:
    """A wheel that is on the index."""
    dist = wheel(project, note="arrived")
    assert index.publish(dist) == "200"
    return dist


def module(dist: Dist, folder: Path) -> str:
    return (folder / f"{stem(dist.project)}.py").read_text()


def test_pip_install(index: Index, run: Shell, published: Dist) -> None:
    """pip install"""
    done = run.python("pip", "install", "--index-url", index.simple, "--target", "site", published.project)

    assert done.fine, done.text
    assert module(published, run.folder / "site") == "NOTE = 'arrived'\n"


def test_pip_hashes(index: Index, run: Shell, published: Dist) -> None:
    """pip download --require-hashes takes the approved bytes and no others"""
    locked = run.folder / "requirements.txt"
    download = ("download", "--no-deps", "--require-hashes", "--index-url", index.simple, "-r", locked, "-d", "got")
    locked.write_text(f"{published.project}==1.0 --hash=sha256:{published.sha256}\n")
    right = run.python("pip", *download)

    assert right.fine, right.text
    arrived = (run.folder / "got" / published.filename).read_bytes()
    assert hashlib.sha256(arrived).hexdigest() == published.sha256

    locked.write_text(f"{published.project}==1.0 --hash=sha256:{'0' * 64}\n")
    wrong = run.python("pip", *download)
    assert not wrong.fine
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in wrong.text
    assert published.sha256 in wrong.text


def test_pip_requires_python(index: Index, run: Shell, documented: Documented, published: Dist) -> None:
    """pip passes over what is not for its Python, as the page says"""
    newer = wheel(published.project, "2.0")
    assert index.send(newer, fields={"requires_python": ">=4"}) == "200"

    done = run.python("pip", "download", "--no-deps", "--index-url", index.simple, "-d", "got", published.project)
    assert done.fine, done.text
    got = documented("1.0", pypiserver=Instead("2.0", "its pages do not say for which Python a file is"))
    wanted = {dist.version: dist.filename for dist in (published, newer)}[got]
    assert [file.name for file in (run.folder / "got").iterdir()] == [wanted]


def test_uv_install(index: Index, run: Shell, published: Dist) -> None:
    """uv pip install"""
    done = run.uv("pip", "install", "--index-url", index.simple, "--target", "site", published.project)

    assert done.fine, done.text
    assert module(published, run.folder / "site") == "NOTE = 'arrived'\n"


def test_uv_hashes(index: Index, run: Shell, published: Dist) -> None:
    """uv pip compile --generate-hashes writes the digests that were sent, and uv pip install holds the index to them"""
    source = sdist(published.project)
    assert index.publish(source) == "200"
    wanted = run.folder / "requirements.in"
    wanted.write_text(f"{published.project}\n")
    compiled = run.uv("pip", "compile", "--generate-hashes", "--index-url", index.simple, "-o", "locked.txt", wanted)

    assert compiled.fine, compiled.text
    locked = (run.folder / "locked.txt").read_text()
    assert {word for word in locked.split() if word.startswith("--hash")} == {
        f"--hash=sha256:{dist.sha256}" for dist in (published, source)
    }
    install = ("pip", "install", "--require-hashes", "--index-url", index.simple, "-r")
    assert run.uv(*install, "locked.txt", "--target", "site").fine
    assert module(published, run.folder / "site") == "NOTE = 'arrived'\n"
    (run.folder / "wrong.txt").write_text(f"{published.project}==1.0 --hash=sha256:{'0' * 64}\n")
    assert "Hash mismatch" in run.uv(*install, "wrong.txt", "--target", "elsewhere").text
