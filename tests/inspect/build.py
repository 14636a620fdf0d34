"""Archives made by hand, good ones and such as no honest tool writes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from releaser.inspect.files import inspect
from releaser.model.artifact import Inspected


def look(folder: Path, name: str, data: bytes) -> Inspected:
    """Put *data* into a file and inspect it."""
    path = folder / name
    path.write_bytes(data)
    return inspect(path)


def problems(folder: Path, name: str, data: bytes) -> str:
    return "\n".join(look(folder, name, data).contents.problems)


def zip_of(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
        archive.comment = comment
    return buffer.getvalue()


def entry(name: str, data: bytes = b"", type: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = type, link, len(data)
    return info, data


def tar_of(entries: Iterable[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.TarFile(fileobj=buffer, mode="w", format=format) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tgz_of(files: Mapping[str, bytes], *more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return gzip.compress(tar_of([*(entry(name, data) for name, data in files.items()), *more]), 1, mtime=0)


METADATA = b"""\
Metadata-Version: 2.4
Name: My.Widget
Version: 1.0.0rc1
Summary: A widget
License-Expression: MIT
Project-URL: Source Code, https://example.invalid/widget
Keywords: widget,gadget
Requires-Python: >=3.11
Requires-Dist: coglet<2,>=1.0
Requires-Dist: pytest>=8; extra == "test"
Requires-Dist: gadget @ https://example.invalid/gadget.zip

# Widget
"""
INFO = "my_widget-1.0.0rc1.dist-info"
WHEEL = "my_widget-1.0.0rc1-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
SDIST = "my_widget-1.0.0rc1.tar.gz"


def wheel_files(metadata: bytes = METADATA) -> dict[str, bytes]:
    return {"widget/__init__.py": b"x = 1\n", f"{INFO}/METADATA": metadata, f"{INFO}/WHEEL": b"Wheel-Version: 1.0\n"}


def record_of(files: Mapping[str, bytes], info: str = INFO) -> bytes:
    def line(name: str, data: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(data)}\n"

    return "".join([*(line(name, data) for name, data in files.items()), f"{info}/RECORD,,\n"]).encode()


def wheel_of(files: Mapping[str, bytes], info: str = INFO) -> bytes:
    return zip_of({**files, f"{info}/RECORD": record_of(files, info)})


CARGO = b"""\
[package]
name = "widget"
version = "1.0.0-rc.1"
description = "A widget"
license-file = "LICENSE"
repository = "https://example.invalid/widget"
keywords = ["widget", "gadget"]

[dependencies]
itoa = "1"
gizmo = { version = ">=2, <3", package = "gizmo-core" }

[build-dependencies.cc]
version = "1.1"

[dev-dependencies]
trybuild = "1"

[target."cfg(unix)".dependencies]
libc = "0.2"
"""
CRATE = "widget-1.0.0-rc.1.crate"

PACKAGE_JSON = b"""\
{"name": "@acme/widget", "version": "1.0.0-rc.1", "description": "A widget", "license": "MIT",
 "repository": {"type": "git", "url": "git+https://example.invalid/widget.git"}, "keywords": ["widget"],
 "scripts": {"test": "x", "postinstall": "node x.js", "preinstall": "node y.js"}, "private": true,
 "dependencies": {"left": "^1.0.0", "mine": "npm:@acme/theirs@~2.0.0"}, "devDependencies": {"mocha": "^3"},
 "peerDependencies": {"react": ">=18"}, "optionalDependencies": {"@acme/widget-linux-x64": "1.0.0-rc.1"}}
"""
