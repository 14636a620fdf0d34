"""The shapes of releases that stories are about, from one wheel to a project with everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from releaser.model.artifact import Kind

TAP = "harbor/homebrew-tap"
_POLICY = """\
[channels.stable]
branches = ["main"]
[checks]
required = ["ci-complete"]
[approval]
quorum = {quorum}
approvers = ["team:harbor/maintainers"]
expires = "72h"
"""


@dataclass(frozen=True)
class File:
    """An artifact of the build."""

    name: str
    group: str
    kind: Kind


@dataclass(frozen=True)
class Shape:
    """What a release consists of and where it goes; ``rules`` is the policy's own part about that."""

    name: str
    files: tuple[File, ...]
    rules: str
    registries: frozenset[str]
    taps: tuple[str, ...] = ()
    via: str = ""

    def policy(self, quorum: int) -> str:
        return _POLICY.format(quorum=quorum) + self.rules


WHEEL = Shape(
    "wheel",
    (File("cog-1.2.0-py3-none-any.whl", "sdk", Kind.WHEEL),),
    """\
[artifacts.sdk]
files = "cog-*.whl"
[publish.sdk]
registry = "pypi"
package = "cog"
files = "sdk"
""",
    frozenset({"pypi"}),
)
PYTHON = Shape(
    "python",
    (
        File("coglet-1.2.0-py3-none-any.whl", "coglet", Kind.WHEEL),
        File("coglet-1.2.0.tar.gz", "coglet", Kind.SDIST),
        File("cog-1.2.0-py3-none-any.whl", "sdk", Kind.WHEEL),
        File("cog-1.2.0.tar.gz", "sdk", Kind.SDIST),
    ),
    """\
[artifacts.coglet]
files = "coglet-*"
[artifacts.sdk]
files = "cog-*"
[publish.coglet]
registry = "pypi"
files = "coglet"
[publish.cog]
registry = "pypi"
files = "sdk"
needs = "coglet"
[downstream.homebrew]
kind = "homebrew-cask"
repository = "harbor/homebrew-tap"
via = "commit"
""",
    frozenset({"pypi"}),
    (TAP,),
    "commit",
)
PARALLEL = Shape(
    "parallel",
    (File("coglet-1.2.0.crate", "crate", Kind.CRATE), File("harbor-cog-1.2.0.tgz", "client", Kind.NPM)),
    """\
[artifacts.crate]
files = "*.crate"
[artifacts.client]
files = "*.tgz"
[publish.coglet]
registry = "crates.io"
files = "crate"
[publish.client]
registry = "npm"
package = "@harbor/cog"
files = "client"
[downstream.homebrew]
kind = "homebrew-cask"
repository = "harbor/homebrew-tap"
""",
    frozenset({"crates.io", "npm"}),
    (TAP,),
    "pull-request",
)
FULL = Shape(
    "full",
    (
        File("coglet-1.2.0-py3-none-manylinux_2_28_x86_64.whl", "coglet-wheels", Kind.WHEEL),
        File("coglet-1.2.0-py3-none-macosx_11_0_arm64.whl", "coglet-wheels", Kind.WHEEL),
        File("coglet-1.2.0.crate", "coglet-crate", Kind.CRATE),
        File("cog-1.2.0-py3-none-any.whl", "sdk", Kind.WHEEL),
        File("cog-1.2.0.tar.gz", "sdk", Kind.SDIST),
        File("harbor-cog-1.2.0.tgz", "client", Kind.NPM),
        File("cog_Linux_x86_64", "cli", Kind.FILE),
    ),
    """\
[artifacts.coglet-wheels]
files = "coglet-*.whl"
[artifacts.coglet-crate]
files = "coglet-*.crate"
[artifacts.sdk]
files = ["cog-*.whl", "cog-*.tar.gz"]
[artifacts.client]
files = "harbor-cog-*.tgz"
[artifacts.cli]
files = "cog_*"
[publish.coglet-pypi]
registry = "pypi"
package = "coglet"
files = "coglet-wheels"
[publish.coglet-crate]
registry = "crates.io"
package = "coglet"
files = "coglet-crate"
[publish.sdk]
registry = "pypi"
package = "cog"
files = "sdk"
needs = "coglet-pypi"
[publish.client]
registry = "npm"
package = "@harbor/cog"
files = "client"
[downstream.homebrew]
kind = "homebrew-cask"
repository = "harbor/homebrew-tap"
""",
    frozenset({"pypi", "crates.io", "npm"}),
    (TAP,),
    "pull-request",
)
SHAPES: Mapping[str, Shape] = {s.name: s for s in (WHEEL, PYTHON, PARALLEL, FULL)}
