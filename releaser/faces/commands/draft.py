"""`releaser draft`: the draft release on the forge, complete."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from releaser.errors import ConfigError, ConflictError, Exit
from releaser.faces import options as shared


def configure(parser: argparse.ArgumentParser) -> None:
    shared.tag(parser)
    shared.forge(parser)
    shared.artifacts(parser, required=True)
    shared.ledger(parser)
    parser.add_argument("--manifest", metavar="FILE", help="release.json (default: the one in the artifacts folder)")
    shared.output(parser, "text", "json")


def run(options: argparse.Namespace) -> int:
    """Create or complete the draft. Files are hashed again; other bytes than the manifest's go nowhere."""
    from releaser.engine.draft import draft
    from releaser.engine.reconcile import publish
    from releaser.engine.run import Patience
    from releaser.engine.view import look
    from releaser.faces import action, render
    from releaser.faces.log import reporter
    from releaser.faces.notes import notes
    from releaser.faces.wire import Wiring
    from releaser.inspect.files import inspect, inspect_folder
    from releaser.model.manifest import ASSET, CHECKSUMS, Manifest

    action.require_safe_job(os.environ)
    folder = Path(options.artifacts)
    assemble = f"releaser assemble {options.tag} --artifacts {shlex.quote(options.artifacts)}"
    path = Path(options.manifest) if options.manifest else folder / ASSET
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError(None, "there is no such file")
        manifest = Manifest.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(
            "manifest-missing",
            "there is no release.json to draft from",
            object=str(path),
            found=error.strerror or str(error),
            wanted="the manifest that `releaser assemble` writes",
            hint=assemble,
        ) from error
    if manifest.tag.name != options.tag:
        raise ConfigError(
            "manifest-foreign",
            "the manifest belongs to another tag",
            object=str(path),
            found=manifest.tag.name,
            wanted=options.tag,
            hint=assemble,
        )
    files = {name: folder / name for name in manifest.assets()} | {
        ASSET: path,
        CHECKSUMS: path.parent / CHECKSUMS,
    }
    found = {f.artifact.name: f"sha256:{f.artifact.sha256}" for f in inspect_folder(folder)}
    own = {name: files[name] for name in (CHECKSUMS, ASSET) if files[name].is_file()}
    found |= {name: f"sha256:{inspect(file).artifact.sha256}" for name, file in own.items()}
    for name, wanted in manifest.assets().items():
        if found.get(name) != wanted:
            raise ConflictError(
                "artifact-changed",
                "a file is not the one that was assembled",
                object=name,
                found=found.get(name, "no such file"),
                wanted=wanted,
                hint=assemble,
            )
    wiring = Wiring(reporter(options.log_format), options.repository or manifest.repository.name)
    with wiring.outside() as outside:
        release = draft(outside, manifest, files, notes(manifest))
        if not manifest.draft:  # then it is public at once; one that is and is on record is left alone
            subject = wiring.subject(options.tag, shared.again(options))
            with wiring.ledger(options.ledger, options.tag) as ledger:
                result = publish(outside, ledger, subject, Patience(), look(outside, subject))
            if result.problems:
                raise result.problems[0]
            release = result.view.candidate.release
    action.outputs(os.environ, {"digest": manifest.digest(), "url": release.url})
    if options.format == "json":
        print(render.as_json(manifest))
    else:
        print(f"{'draft' if release.draft else 'public'} {release.url}")
        print(f"{len(manifest.artifacts)} artifacts, {manifest.digest()}")
        if release.draft:
            print(f"next: releaser approve {manifest.tag.name} --digest {manifest.digest()}")
    return Exit.DONE
