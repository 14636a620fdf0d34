"""`releaser assemble`: artifacts to ``release.json`` and ``SHA256SUMS``."""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
from pathlib import Path

from releaser.errors import ConfigError, Exit
from releaser.faces import options as shared


def configure(parser: argparse.ArgumentParser) -> None:
    shared.tag(parser)
    shared.checkout(parser)
    parser.set_defaults(policy=None, at=None)
    shared.artifacts(parser, required=True)
    parser.add_argument("--offline", action="store_true", help="ask nothing of the network (checks are not read)")
    parser.add_argument("--out", metavar="DIR", help="where the two files go (default: the artifacts folder)")
    shared.output(parser, "text", "json")


def run(options: argparse.Namespace) -> int:
    """Judge the tag, and write the manifest only when no gate before the draft objects."""
    from releaser.engine.assemble import manifest_for
    from releaser.faces import action, render
    from releaser.faces.judge import Judge
    from releaser.faces.log import size
    from releaser.model.manifest import ASSET, CHECKSUMS, RepositoryRef

    with Judge(options) as judge:
        judged = judge.judge(options.artifacts, online=not options.offline)
        here = RepositoryRef(name=judge.repository)
        if not options.offline:
            facts = judge.wiring.forge.repository()
            here = RepositoryRef(name=facts.name, id=facts.id)
        manifest = manifest_for(judged.case, here, judge.policy_ref, action.initiator(os.environ), judged.plan.gates)
    folder = Path(options.out or options.artifacts)
    write_whole(folder / CHECKSUMS, manifest.checksums())
    write_whole(folder / ASSET, manifest.canonical())
    action.outputs(os.environ, {"digest": manifest.digest(), "manifest": str(folder / ASSET)})
    if options.format == "json":
        print(render.as_json(manifest))
    else:
        total = size(sum(a.size for a in manifest.artifacts))
        print(f"{manifest.tag.name}: {len(manifest.artifacts)} artifacts, {total}")
        for artifact in manifest.artifacts:
            print(f"  {artifact.sha256}  {artifact.name}  ({size(artifact.size)})")
        print(f"wrote {folder / ASSET}  {manifest.digest()}")
        print(f"next: releaser draft {manifest.tag.name} --artifacts {shlex.quote(options.artifacts)}")
    return Exit.DONE


def write_whole(path: Path, data: bytes) -> None:
    """Put *data* at *path* whole or not at all; raises ConfigError ``file-unwritable``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ConfigError(
            "file-unwritable",
            "a file cannot be written",
            object=str(path),
            found=error.strerror or str(error),
            wanted="room and permission",
            hint="give --out a folder that can be written",
        ) from error
