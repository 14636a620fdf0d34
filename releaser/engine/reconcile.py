"""The only loop that changes the world: observe, decide, act on what is missing, read back, record.

Level-triggered: everything is decided from what is seen now, so the same call starts a release, resumes it after
a crash and confirms it when it is done. A write's answer is a hint; only a registry that shows our digest counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from releaser.engine.deliver import deliver, delivered
from releaser.engine.intents import Intents
from releaser.engine.ledger import Ledger
from releaser.engine.ports import Outside, Release
from releaser.engine.registries import Publications
from releaser.engine.run import Patience, Run, require
from releaser.engine.standing import ends, state_of, swap
from releaser.engine.states import State, is_complete, outlook
from releaser.engine.undraft import undraft
from releaser.engine.view import Subject, View, has_arrived, look
from releaser.errors import ConflictError, ReleaserError
from releaser.model.manifest import PlannedPublication
from releaser.policy import schedule


@dataclass(frozen=True, slots=True)
class Result:
    """How far a release came: the last look at it, and what stands in the way, worst first."""

    view: View
    state: State
    problems: tuple[ReleaserError, ...]


def publish(outside: Outside, ledger: Ledger, subject: Subject, patience: Patience, view: View) -> Result:
    """Make the world agree with the approved release, as far as it lets us; safe to repeat at any time.

    *view* is a fresh look at it. A release that is out and on record is left alone: nothing is written.

    Raises RefusedError, WaitingError or ConflictError before the first effect when a gate does not let the release
    through, ExternalError when a target's trusted publisher does not, and what the ledger raises. What goes wrong
    after the first effect is in the result, so that independent targets still go on.
    """
    intents = Intents(ledger, outside.clock, patience.after, view.manifest.digest())
    run = Run(outside, subject, patience, view, intents)
    if problem := swap(view, ledger.entries()):
        raise problem
    settle(run, view)
    run.view = view = view.with_delivered(delivered(view.manifest, intents.ended))
    if view.state is State.RELEASED:
        _record(run, ledger, State.RELEASED)
        return Result(view, State.RELEASED, ())
    require_unburned(run.intents.ended, subject.tag)
    require(view.rows, subject.tag)
    preflight(run)
    run.intents.claim()
    try:
        make_public(run)
        deliver(run, Publications(run).converge())
    except ReleaserError as error:
        run.problem(error)
        run.say("stopped", code=error.code, reason=error.message, found=error.found)
    return _conclude(run, ledger)


def settle(run: Run, view: View) -> None:
    """Put the end of every open intent on record of which *view* shows the effect, whoever left it open."""
    endings = list(ends(view))
    if any(map(run.intents.is_news, endings)):
        run.intents.claim()
        run.intents.close(endings)
        run.intents.record()


def preflight(run: Run) -> None:
    """Make sure of every right that will be needed, and give it back where that can be done: all or nothing.

    For registries, that is an exchange of identities; for package managers, what this process was given.
    """
    outside, world = run.outside, run.view.world
    missing = [p for p in run.manifest.publications if not is_complete(world.shelves[p.id])]

    def attempt(publication: PlannedPublication) -> ReleaserError | None:
        registry = outside.registries[publication.registry]
        try:
            registry.discard(registry.authorize(publication.package, outside.identity))
        except ReleaserError as error:
            return error
        return None

    refused = [e for e in outside.workers.map(attempt, missing) if e is not None]
    for entry in run.manifest.downstream:
        if not (entry.id in run.view.delivered or has_arrived(world.deliveries[entry.id])):
            try:
                outside.dispatchers[entry.kind].ready(entry)
            except ReleaserError as error:
                refused.append(error)
    for about, reason in dict.fromkeys((e.object, e.message) for e in refused):
        run.say("preflight-refused", object=about, reason=reason)
    if refused:
        raise refused[0]
    if missing:
        run.say("preflight-passed", targets=[p.id for p in missing])
    for pace in schedule.paces(missing, run.subject.registries):
        least = math.ceil(pace.least / 60)
        run.say("pace", registry=pace.registry, versions=pace.versions, minutes=least)


def require_unburned(ended: Mapping[str, str], tag: str) -> None:
    """Raise ConflictError ``version-burned`` for a release that can never be completed."""
    for effect in (e for e, result in ended.items() if result == "burned"):
        raise ConflictError(
            "version-burned",
            f"{tag} can never be completed: a registry takes no file of this name any more",
            object=effect,
            found="a name that was deleted once, or a version that is closed",
            wanted="a version that was never used there",
            hint="choose a new version; what is out of this one stays as it is",
        )


def make_public(run: Run) -> None:
    """Publish the draft on the forge, unless somebody already did."""

    def guard() -> Release:
        return run.guard().candidate.release

    if run.view.candidate.release.draft:
        undraft(run.outside, run.intents, run.patience, run.manifest, guard, latest=_is_latest(run), again=run.again)


def _is_latest(run: Run) -> bool:
    """Whether no higher stable version is public: a late patch does not become the latest release (T67)."""
    policy = run.view.candidate.policy
    version = policy.version_of(run.subject.tag)
    if version is None or version.is_prerelease:
        return False
    for tag in run.outside.forge.released():
        try:
            other = policy.version_of(tag)
        except ReleaserError:
            continue
        if other is not None and not other.is_prerelease and other > version:
            return False
    return True


def _conclude(run: Run, ledger: Ledger) -> Result:
    """A last look, and what it shows; effects were made, so what fails now is a problem of the result too."""
    view = run.view
    seen: View | None = None

    def judged() -> State:
        ended = run.intents.ended
        return state_of(seen, ended, run.problems) if seen else outlook(State.PUBLISHING, ended, run.problems)

    try:
        run.intents.record()
        view = look(run.outside, run.subject, run.view.candidate)
        run.require_same(view)
        settle(run, view)
        seen = view
    except ReleaserError as error:
        run.problem(error)
    state = judged()
    try:
        _record(run, ledger, state)
    except ReleaserError as error:
        run.problem(error)
        state = judged()
    return Result(view, state, tuple(sorted(run.problems, key=lambda p: -p.exit)))


def _record(run: Run, ledger: Ledger, state: State) -> None:
    """Put *state* on record, unless it is the last one there."""
    body = {"state": state, "manifest": run.manifest.digest()}
    last = [r["body"] for r in ledger.entries() if r["kind"] == "state"]
    if last[-1:] != [body]:
        run.intents.claim()
        run.intents.record(("state", body))
