"""Fetch the real packages that some tests read, by name and with each ecosystem's own client, into `.downloads/`.

Run by `make downloads`, and by `make test` with ``--tolerant``. What is there already and whole is not fetched
again. `.downloads/SHA256SUMS` is written when everything is there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from email.parser import HeaderParser
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / ".downloads"
WHEELHOUSE = ROOT / "wheelhouse"
SUMS = ROOT / "SHA256SUMS"

COG = "0.17.0"
COGLET_PLATFORMS = ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64")
ITOA = "1.0.15"
IS_NUMBER = "7.0.0"

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


class NotFetchedError(Exception):
    """A client is missing or failed."""


def run(*command: str, folder: Path) -> None:
    """Run a client in *folder*; raises NotFetchedError with its last words."""
    if shutil.which(command[0]) is None:
        raise NotFetchedError(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise NotFetchedError(f"`{' '.join(command)}` failed with exit code {done.returncode}\n{words}")


def cog_wheel(folder: Path) -> None:
    run(*PIP, "download", "--no-deps", "--only-binary", ":all:", f"cog=={COG}", folder=folder)


def cog_sdist(folder: Path) -> None:
    """pip asks the sdist for its metadata, which runs its build backend."""
    run(*PIP, "download", "--no-deps", "--no-binary", "cog", f"cog=={COG}", folder=folder)


def coglet_wheel(platform: str) -> Callable[[Path], None]:
    options = ("--no-deps", "--only-binary", ":all:", "--python-version", "3.12", "--platform", platform)
    return lambda folder: run(*PIP, "download", *options, f"coglet=={COG}", folder=folder)


def crate(folder: Path) -> None:
    """A crate as cargo caches it, checked against the checksum that cargo locked."""
    project = folder / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "lib.rs").touch()
    (project / "Cargo.toml").write_text(
        f'[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\nitoa = "={ITOA}"\n'
    )
    run("cargo", "fetch", folder=project)
    locked = tomllib.loads((project / "Cargo.lock").read_text())["package"]
    wanted = next(package["checksum"] for package in locked if package["name"] == "itoa")
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    for cached in home.glob(f"registry/cache/*/itoa-{ITOA}.crate"):
        if sha256(cached) == wanted:
            shutil.copy(cached, folder)
            return
    raise NotFetchedError(f"no itoa-{ITOA}.crate with checksum {wanted} below {home}/registry/cache")


def npm_package(folder: Path) -> None:
    run("npm", "pack", "--silent", "--ignore-scripts", f"is-number@{IS_NUMBER}", folder=folder)


FILES: dict[str, Callable[[Path], None]] = {
    f"cog-{COG}-*.whl": cog_wheel,
    f"cog-{COG}.tar.gz": cog_sdist,
    **{f"coglet-{COG}-*{platform}*.whl": coglet_wheel(platform) for platform in COGLET_PLATFORMS},
    f"itoa-{ITOA}.crate": crate,
    f"is-number-{IS_NUMBER}.tgz": npm_package,
}
"""File pattern → what fetches the one file of that pattern into an empty folder."""


def fetch(pattern: str, fetcher: Callable[[Path], None], known: dict[str, str]) -> None:
    """Have the one file of *pattern* in ROOT, whole."""
    for file in ROOT.glob(pattern):
        digest = sha256(file)
        if known.get(file.name, digest) == digest:
            return
        file.unlink()
    with tempfile.TemporaryDirectory(dir=ROOT) as temporary:
        say(f"fetching {pattern}")
        fetcher(Path(temporary))
        found = list(Path(temporary).glob(pattern))
        if len(found) != 1:
            raise NotFetchedError(f"wanted one {pattern}, got {[file.name for file in found]}")
        found[0].replace(ROOT / found[0].name)


def fetch_wheelhouse() -> None:
    """Have the wheels that cog needs beside coglet, dependencies included, for the Python that runs this."""
    wheels = list(ROOT.glob(f"cog-{COG}-*.whl"))
    if not wheels:
        raise NotFetchedError("the wheelhouse needs cog's wheel, which says what belongs in it")
    wanted = third_party(wheels[0])
    WHEELHOUSE.mkdir(exist_ok=True)
    local = ("--no-index", "--find-links", str(WHEELHOUSE))
    try:
        run(*PIP, "install", "--dry-run", "--ignore-installed", *local, *wanted, folder=ROOT)
    except NotFetchedError:
        say("fetching wheelhouse: " + ", ".join(wanted))
        run(*PIP, "download", "--only-binary", ":all:", *wanted, folder=WHEELHOUSE)


def third_party(wheel: Path) -> list[str]:
    """The requirements of *wheel* that hold without extras, coglet left out."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    return [line for line in required if not line.startswith("coglet")]


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def recorded() -> dict[str, str]:
    """File → digest as of the last complete run."""
    lines = SUMS.read_text().splitlines() if SUMS.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def record() -> None:
    files = sorted(file for file in ROOT.rglob("*") if file.is_file() and file != SUMS)
    SUMS.write_text("".join(f"{sha256(file)}  {file.relative_to(ROOT).as_posix()}\n" for file in files))


def say(text: str) -> None:
    sys.stderr.write(f"downloads: {text}\n")


def main(arguments: Sequence[str]) -> int:
    """Fetch everything; 1 when something could not be had, unless that is to be tolerated."""
    parser = argparse.ArgumentParser(description="fetch the real packages that some tests read into .downloads/")
    parser.add_argument("--tolerant", action="store_true", help="only name what could not be had; its tests skip")
    options = parser.parse_args(arguments)
    ROOT.mkdir(exist_ok=True)
    known = recorded()
    jobs: list[Callable[[], None]] = [partial(fetch, pattern, fetcher, known) for pattern, fetcher in FILES.items()]
    jobs.append(fetch_wheelhouse)
    failed = 0
    for job in jobs:
        try:
            job()
        except NotFetchedError as error:
            failed += 1
            say(f"not fetched: {error}")
    if failed:
        say(f"{failed} of {len(jobs)} could not be had" + ("; tests that need them skip" if options.tolerant else ""))
        return 0 if options.tolerant else 1
    record()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
