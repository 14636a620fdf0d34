"""`releaser rehearse`: a whole release against servers on this machine, with the commands a release really takes."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from releaser.errors import ConfigError, Exit
from releaser.faces import options as shared
from releaser.faces.operator import Operator, say

if TYPE_CHECKING:
    from releaser.rehearsal.chaos import Mishap, Moment
    from releaser.rehearsal.sample import Sample
    from releaser.rehearsal.world import World

T = TypeVar("T")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", default="0.9.0", help="the version to release (default: 0.9.0)")
    parser.add_argument("--dir", metavar="DIR", help="an empty or new folder for the world (default: a temporary one)")
    parser.add_argument(
        "--lag", type=shared.seconds, default=1.0, metavar="SECONDS", help="how late indexes are (default: 1)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the world running until Ctrl-C, for real clients")
    parser.add_argument(
        "--prepare", action="store_true", help="stop before the release: the world is up and the commands are yours"
    )
    parser.add_argument(
        "--crash-at",
        metavar="STEP[:N][:before]",
        type=_crash,
        action="append",
        default=[],
        help="kill the command right after (or before) the Nth request of a step, and run it again; repeatable",
    )
    parser.add_argument(
        "--fault",
        metavar="NAME@STEP[:N]",
        type=_fault,
        action="append",
        default=[],
        help="let the Nth request of a step go wrong; repeatable",
    )
    parser.add_argument(
        "--race", metavar="N", type=int, choices=(2, 3, 4), default=1, help="start N publish jobs at once (2 to 4)"
    )
    parser.add_argument("--list-steps", action="store_true", help="list the steps and faults that have a name, and end")


def _crash(text: str) -> Moment:
    from releaser.rehearsal import chaos

    return _understood(chaos.moment, text)


def _fault(text: str) -> Mishap:
    from releaser.rehearsal import chaos

    return _understood(chaos.mishap, text)


def _understood(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(options: argparse.Namespace) -> int:
    """Bring the world up, release into it, show what went where."""
    from releaser.adapters.local import private_folder
    from releaser.model.version import Version
    from releaser.rehearsal import sample
    from releaser.rehearsal.world import World

    if options.list_steps:
        _list_steps()
        return Exit.DONE
    tricks = bool(options.crash_at or options.fault or options.race > 1)
    if options.prepare and tricks:
        options.refuse("--prepare runs no command that --crash-at, --fault or --race could be about")
    _refuse_twice(options, "--crash-at", options.crash_at)
    _refuse_twice(options, "--fault", [mishap.moment for mishap in options.fault])
    version = Version.parse(options.version)
    if shutil.which("git") is None:
        raise ConfigError(
            "git-missing",
            "a rehearsal needs git",
            object="git",
            found="no such program on the PATH",
            wanted="git",
            hint="install git",
        )
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that the world's folder goes away with it
        if signal.getsignal(number) is signal.SIG_DFL:  # else somebody wants it ignored, as nohup does
            signal.signal(number, _end)
    missed: Mapping[str, str] = {}
    with private_folder("rehearsal-") as temporary:
        root = _folder(options.dir) if options.dir else temporary / "world"
        (room := temporary / "tmp").mkdir()
        with World(root) as world:
            world.lag(options.lag)
            wanted = [*options.crash_at, *(mishap.moment for mishap in options.fault)]
            proposing = any(moment.step.name == "pull-request" for moment in wanted)
            project = sample.settle(world, version, proposing=proposing)
            say(f"a forge, an identity provider, three registries and a feed are up on loopback; world in {root}")
            say(f"{sample.REPOSITORY} was tagged {project.tag}; its artifacts are in {project.artifacts}")
            environments = _environments(world, project)
            code: int = Exit.DONE
            if not options.prepare:
                with Operator(world, project, options.crash_at, options.fault, options.race, room) as operator:
                    code = _release(operator, project, options.lag, tricks)
                    missed = operator.calm()
                    for what, why in missed.items():
                        say(f"--- `{what}` did not happen, because {why}")
                    if tricks and not code:
                        code = operator.verdict()
            if code == Exit.DONE and not options.prepare and not tricks:
                if not options.keep:
                    say("\nthis world ends here; `releaser rehearse --keep` leaves one up to try its install commands")
                _picture(world, project)
            if options.keep or options.prepare:
                _instructions(environments, project)
                _until_interrupted()
    if missed and code == Exit.DONE:
        raise ConfigError(
            "rehearsal-incomplete",
            "the release is whole, but something that was to happen on its way did not",
            object=", ".join(missed),
            found="; ".join(missed.values()),
            wanted="what this release comes to",
            # The first request of every step comes in a release of the usual version, and so does a publish job.
            hint=f"releaser rehearse {re.sub(':.*', '', next(iter(missed)))}",
        )
    return code


def _refuse_twice(options: argparse.Namespace, option: str, moments: Sequence[Moment]) -> None:
    """One request goes wrong in one way, and nobody can be killed twice at it."""
    counted = Counter(f"{moment.step.name}:{moment.nth}" for moment in moments)
    for request, times in counted.items():
        if times > 1:
            options.refuse(f"{option} names the request {request} more than once; give each an N of its own")


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def _folder(name: str) -> Path:
    """The folder *name*, made if need be; raises ConfigError unless it is empty and can be written."""
    folder = Path(name).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = any(folder.iterdir())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            "folder-unusable",
            "a world cannot be put into this folder",
            object=str(folder),
            found=error.strerror or str(error),
            wanted="a folder that can be made and written",
            hint="choose another --dir",
        ) from error
    if full:
        raise ConfigError(
            "folder-not-empty",
            "a rehearsal needs a folder of its own",
            object=str(folder),
            found="files",
            wanted="an empty or new folder",
            hint="choose another --dir",
        )
    return folder


def _release(operator: Operator, project: Sample, lag: float, tricks: bool) -> int:
    """The commands of a release, each as a process of its own, as the one who would run it."""
    manifest = project.artifacts / "release.json"
    contributor = {
        "RELEASER_WORLD": project.job["RELEASER_WORLD"],
        "GITHUB_REPOSITORY": project.job["GITHUB_REPOSITORY"],
    }
    dist, tag = str(project.artifacts), project.tag
    # What does not show within this time after an answer that never came is not there, in this world; hence shorter.
    publish = ("publish", tag, "--ledger", "forge", "--poll", "0.2", *(("--settle", f"{lag + 3:g}") if tricks else ()))
    code = operator.run("contributor", contributor, "plan", tag, "--artifacts", dist)
    code = code or operator.run("tag job", project.job, "assemble", tag, "--artifacts", dist)
    if code:
        return code
    waits = json.loads(manifest.read_bytes())["draft"]  # else the draft is public at once, which is on record too
    draft = ("draft", tag, "--artifacts", dist, *(() if waits else ("--ledger", "forge")))
    code = operator.run("tag job", project.job, *draft)
    if waits and not code:
        from releaser.model.document import sha256

        digest = sha256(manifest.read_bytes())
        for login, environment in project.reviewers.items():
            code = code or operator.run(login, environment, "approve", tag, "--digest", digest)
        code = code or operator.publish(project.job, *publish)
    return code


def _list_steps() -> None:
    """The words for `--crash-at` and `--fault`."""
    from releaser.rehearsal.chaos import STEPS, TROUBLES

    say("steps, for --crash-at STEP[:N][:before] and --fault NAME@STEP[:N]")
    for step in STEPS.values():
        say(f"  {step.name:<14}{step.about}")
    say("\nfaults, for --fault NAME@STEP[:N]")
    for trouble in TROUBLES.values():
        say(f"  {trouble.name:<14}{trouble.about}")


def _picture(world: World, project: Sample) -> None:
    """What went where, and how to install it."""
    from releaser.faces.render import console
    from releaser.model.spelling import Ecosystem, spell

    semver, python = str(project.version), spell(project.version, Ecosystem.PEP440)
    arrows = {
        "github release": f"{len(list(project.artifacts.iterdir()))} files, public",
        "pypi": f"ternlet {python} (3 wheels), then tern {python} (wheel, sdist)",
        "crates.io": f"ternlet {semver}",
        "npm": f"@harbor/tern {semver}",
        **dict.fromkeys(("homebrew", "scoop", "chocolatey"), "stable releases only"),
    }
    if not project.version.is_prerelease:
        arrows |= {
            "homebrew": "cask tern in harbor/homebrew-tap",
            "scoop": "app tern in harbor/scoop-bucket",
            "chocolatey": f"package tern {semver}",
        }
    if project.version.phase == "dev":
        arrows = {"github release": arrows["github release"]}
    out = console()
    out.print()
    for number, (where, what) in enumerate(arrows.items()):
        stem = f"{project.tag} " if number == 0 else " " * (len(project.tag) + 1)
        joint = "─┬" if number == 0 and len(arrows) > 1 else " └" if number else "──"
        joint = " ├" if 0 < number < len(arrows) - 1 else joint
        out.print(f"{stem}{joint}─▶ {where:<15} {what}", markup=False)
    out.print("\nRELEASED\n", style="bold green")
    if len(arrows) > 1:
        for line in install_commands(world, project):
            out.print(f"  {line}", markup=False)


def install_commands(world: World, project: Sample) -> Sequence[str]:
    """How to get each part with the real clients, from the world as it runs."""
    from releaser.model.spelling import Ecosystem, spell

    semver, python = str(project.version), spell(project.version, Ecosystem.PEP440)
    return (
        f"pip install --index-url {world.pypi.url}/simple/ tern=={python}",
        # Exported, since cargo wants to know the registry in every later command too.
        f"export CARGO_REGISTRIES_REHEARSAL_INDEX={world.crates.index}; "
        f"cargo add --registry rehearsal ternlet@={semver}",
        f"npm install --registry {world.npm.url} @harbor/tern@{semver}",
        f"git clone {world.github.url}/harbor/homebrew-tap.git",
        f"git clone {world.github.url}/harbor/scoop-bucket.git",
    )


def _environments(world: World, project: Sample) -> Mapping[str, Path]:
    """One file to source for everyone who takes part."""
    files = {}
    for name, environment in {"job": project.job, **project.reviewers}.items():
        file = world.root / f"{name}.env"
        file.touch(mode=0o600)
        file.write_text("".join(f"export {k}={shlex.quote(v)}\n" for k, v in environment.items()))
        files[name] = file
    return files


def _instructions(environments: Mapping[str, Path], project: Sample) -> None:
    say("\nthe world is up; in another terminal:")
    say(f"  cd {shlex.quote(str(project.checkout))}")
    for name, file in environments.items():
        say(f"  . {shlex.quote(str(file))}    # to act as {name}")
    say("Ctrl-C here ends it")


def _until_interrupted() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        say("")
