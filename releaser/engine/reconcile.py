"""The only loop that changes the world: observe, decide, act on what is missing, read back, record.

Level-triggered: everything is decided from what is seen now, so the same call starts a release, resumes it after
a crash and confirms it when it is done. A write's answer is a hint; only a registry that shows our digest counts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from releaser.engine import survey
from releaser.engine.draft import release_of
from releaser.engine.intents import Intents
from releaser.engine.planner import delivery_action
from releaser.engine.ports import Outside, Receipt, Release, Sent
from releaser.engine.states import State, has_begun, is_complete, is_conflict
from releaser.engine.view import Subject, View, glance, has_arrived, look
from releaser.errors import ConflictError, ExternalError, RefusedError, ReleaserError, WaitingError
from releaser.model.artifact import Artifact
from releaser.model.facts import Delivery, Presence, Shelf, Unobserved
from releaser.model.manifest import PlannedDelivery, PlannedPublication
from releaser.model.plan import Action, GateRow, Status
from releaser.policy import schedule
from releaser.policy.world import action_for

T = TypeVar("T")
_UNSEEN = Unobserved("not looked for")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds.

    ``poll`` between two looks; ``refused`` for a refused write to turn out to be there after all; ``settle`` for
    one of unknown outcome; ``visible`` for an index to show what its registry accepted.
    """

    poll: float = 2.0
    refused: float = 6.0
    settle: float = 120.0
    visible: float = 1800.0

    def after(self, receipt: Receipt) -> float:
        """How long to look before a write that was answered so may be repeated."""
        match receipt.sent:
            case Sent.ACCEPTED:
                return 0.0
            case Sent.REFUSED:
                return self.refused
            case Sent.LATER:
                return max(receipt.wait, self.poll)
            case Sent.UNKNOWN:
                return max(receipt.wait, self.settle)


@dataclass(frozen=True, slots=True)
class Step:
    """The files of a publication that are to be sent now; the first one ahead of the others where it is to *open*.

    The first file makes the release at the registry and fixes its metadata: where it is refused, nothing else is out.
    """

    publication: PlannedPublication
    artifacts: Sequence[Artifact]
    opens: bool


@dataclass(frozen=True, slots=True)
class Result:
    """How far a release came: the last look at it, and what stands in the way, worst first."""

    view: View
    state: State
    problems: tuple[ReleaserError, ...]


def publish(outside: Outside, subject: Subject, patience: Patience, view: View) -> Result:
    """Make the world agree with the approved release, as far as it lets us; safe to repeat at any time.

    *view* is a fresh look at it.

    Raises RefusedError, WaitingError or ConflictError before the first effect when a gate does not let the
    release through, and ExternalError when a target's trusted publisher does not. What goes wrong after the
    first effect is in the result, so that independent targets still go on.
    """
    run = _Run(outside, subject, patience, view)
    run.settle(view)
    if view.state is State.RELEASED:
        return Result(view, State.RELEASED, ())
    require(view.rows, subject.tag)
    run.preflight()
    run.act()
    return run.conclude()


def require(rows: Sequence[GateRow], tag: str) -> None:
    """Raise for the first gate that does not let a release go on; a conflict outranks a refusal, that a wait."""
    failed = [r for r in rows if r.status is Status.FAIL]
    blocked = sorted(failed, key=lambda r: r.name != "world") or [r for r in rows if r.status is Status.WAIT]
    if not blocked:
        return
    first = blocked[0]
    conflict = first.name == "world"
    kind: type[ReleaserError] = (ConflictError if conflict else RefusedError) if failed else WaitingError
    raise kind(
        f"gate-{first.name}",
        f"{tag} is {'refused' if failed else 'held back'} by gate {first.name}: {first.reason}",
        object=first.object,
        found=first.found,
        wanted=first.wanted,
        hint=first.hint,
    )


class _Run:
    """One call of `publish`: what is finished, what is held back, and why."""

    def __init__(self, outside: Outside, subject: Subject, patience: Patience, view: View) -> None:
        self.outside = outside
        self.subject = subject
        self.patience = patience
        self.view = view
        self.manifest = view.manifest
        self.problems: list[ReleaserError] = []
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self._waited: set[str] = set()
        self._turns: dict[str, list[datetime]] = defaultdict(list)
        self._artifacts = {a.name: a for a in self.manifest.artifacts}
        self._intents = Intents(outside.ledger, outside.clock, patience.after)
        self._begun = has_begun(view.world.shelves)
        self._visible: Mapping[str, Shelf | Unobserved] = {}

    # -- before the first effect, and after the last ----------------------------------------------------------

    def settle(self, view: View) -> None:
        """Close every open intent of which *view* shows the effect, whoever left it open."""
        release = view.candidate.release
        if not release.draft:
            self._intents.close(self._release_key, "done", release.url)
        for publication in self.manifest.publications:
            self._confirm(publication, view.world.shelves[publication.id])
        for entry in self.manifest.downstream:
            self._confirm_delivery(entry, view.world.deliveries[entry.id])

    def preflight(self) -> None:
        """Make sure of every right that will be needed, and give it back where that can be done: all or nothing.

        For registries, that is an exchange of identities; for package managers, what this process was given.
        """
        missing = [p for p in self.manifest.publications if not is_complete(self.view.world.shelves[p.id])]

        def attempt(publication: PlannedPublication) -> ReleaserError | None:
            registry = self.outside.registries[publication.registry]
            try:
                registry.discard(registry.authorize(publication.package, self.outside.identity))
            except ReleaserError as error:
                return error
            return None

        refused = [e for e in self.outside.workers.map(attempt, missing) if e is not None]
        for entry in self.manifest.downstream:
            if not has_arrived(self.view.world.deliveries[entry.id]):
                try:
                    self.outside.dispatchers[entry.kind].ready(entry)
                except ReleaserError as error:
                    refused.append(error)
        for about, reason in dict.fromkeys((e.object, e.message) for e in refused):
            self.outside.reporter.say("preflight-refused", object=about, reason=reason)
        if refused:
            raise refused[0]
        if missing:
            self.outside.reporter.say("preflight-passed", targets=[p.id for p in missing])
        for pace in schedule.paces(missing, self.subject.registries):
            least = math.ceil(pace.least / 60)
            self.outside.reporter.say("pace", registry=pace.registry, versions=pace.versions, minutes=least)

    def act(self) -> None:
        """Every effect, in order. What stops it midway is a problem of the result, not lost work."""
        try:
            self.make_public()
            self.converge()
            self.deliver()
        except ReleaserError as error:
            self._problem(error)
            self.outside.reporter.say("stopped", code=error.code, reason=error.message, found=error.found)

    def conclude(self) -> Result:
        """A last look, and what it shows; effects were made, so what fails now is a problem of the result too."""
        view, state = self.view, State.PUBLISHING
        try:
            view = look(self.outside, self.subject)
            self._require_same(view)
            self.settle(view)
            state = self._state(view.state)
            self.outside.ledger.append("state", {"state": state, "manifest": view.manifest.digest()})
        except ReleaserError as error:
            self._problem(error)
        return Result(view, self._state(state), tuple(sorted(self.problems, key=lambda p: -p.exit)))

    def _state(self, shown: State) -> State:
        """The state that was seen, in the light of what this run ran into."""
        if any(isinstance(p, ConflictError) for p in self.problems):
            return State.NEEDS_HUMAN
        if shown is not State.RELEASED and any(isinstance(p, ExternalError) and not p.retryable for p in self.problems):
            return State.PARTIAL
        return shown

    # -- the release on the forge -----------------------------------------------------------------------------

    def make_public(self) -> None:
        """Publish the draft on the forge, unless somebody already did."""
        if not self.view.candidate.release.draft:
            return
        release = self._guard().candidate.release
        if not release.draft:
            return
        latest = self._is_latest()
        self._intents.begin(self._release_key, self.manifest.digest())
        problem = ExternalError(
            "release-not-public",
            "the forge does not show the release as public yet",
            object=release.url,
            hint=f"releaser publish {self.subject.tag}",
        )
        try:
            self.outside.forge.publish(release, latest=latest)
        except ExternalError as error:
            problem = error
        public = self._until(self.patience.refused, self._public_release)
        if public is None:
            raise problem
        self._intents.close(self._release_key, "done", public.url)
        self.outside.reporter.say("release-public", url=public.url)

    @property
    def _release_key(self) -> str:
        return f"release/{self.subject.tag}"

    def _public_release(self) -> Release | None:
        release = release_of(self.outside.forge.releases(self.subject.tag))
        return release if release and not release.draft else None

    def _is_latest(self) -> bool:
        """Whether no higher stable version is public: a late patch does not become the latest release (T67)."""
        policy = self.view.candidate.policy
        version = policy.version_of(self.subject.tag)
        if version is None or version.is_prerelease:
            return False
        for tag in self.outside.forge.released():
            try:
                other = policy.version_of(tag)
            except ReleaserError:
                continue
            if other is not None and not other.is_prerelease and other > version:
                return False
        return True

    # -- registries -------------------------------------------------------------------------------------------

    def converge(self) -> None:
        """Publish until every target is visible, refused, or held back by one that is."""
        deadline = self._after(self.patience.visible)
        while ready := self._ready():
            shelves = survey.shelves(self.outside.registries, self.outside.workers, ready, self._artifacts)
            moved = self._take_in(ready, shelves)
            steps = self._steps(ready, shelves)
            moved = any(self.outside.workers.map(self._send, steps)) or moved
            if moved:
                deadline = self._after(self.patience.visible)
            elif self.outside.clock.now() >= deadline:
                self._give_up(self._ready(), shelves)
                return
            elif not steps:
                self._say_waiting(shelves)
                self.outside.clock.sleep(self.patience.poll)

    def _say_waiting(self, shelves: Mapping[str, Shelf | Unobserved]) -> None:
        """Say once of each publication that it is being waited for, and why."""
        for publication in self._ready():
            shelf = shelves[publication.id]
            if publication.id in self._waited or isinstance(shelf, Unobserved):
                continue
            self._waited.add(publication.id)
            what = "the index to show it" if is_complete(shelf) else "what was sent to turn up, or to be sent again"
            self.outside.reporter.say("waiting", publication=publication.id, registry=publication.registry, what=what)

    def _ready(self) -> list[PlannedPublication]:
        return [
            p
            for p in self.manifest.publications
            if p.id not in self.done | self.failed and self.done.issuperset(p.needs)
        ]

    def _take_in(self, ready: Sequence[PlannedPublication], shelves: Mapping[str, Shelf | Unobserved]) -> bool:
        """Note what the registries now show; True when a publication is finished either way."""
        self._begun = self._begun or has_begun(shelves)
        complete = [p for p in ready if is_complete(shelves[p.id])]
        visible = survey.shelves(self.outside.registries, self.outside.workers, complete, self._artifacts, visible=True)
        self._visible = visible
        before = len(self.done) + len(self.failed)
        for publication in ready:
            self._confirm(publication, shelves[publication.id])
            for shelf in (shelves[publication.id], visible.get(publication.id, _UNSEEN)):
                if isinstance(shelf, Shelf) and is_conflict(shelf):
                    self._fail(publication, _conflict(publication, shelf))
            if publication.id not in self.failed and is_complete(visible.get(publication.id, _UNSEEN)):
                self.done.add(publication.id)
                self.outside.reporter.say("visible", publication=publication.id, registry=publication.registry)
        return len(self.done) + len(self.failed) > before

    def _steps(self, ready: Sequence[PlannedPublication], shelves: Mapping[str, Shelf | Unobserved]) -> list[Step]:
        """The files to send now: absent at their registry, and not on their way."""
        steps: list[Step] = []
        for publication in ready:
            shelf = shelves[publication.id]
            if publication.id not in self.failed and isinstance(shelf, Shelf):
                due = [n for n, p in shelf.files.items() if p is Presence.ABSENT and self._may_send(publication, n)]
                keys = {n: effect(publication, n) for n in shelf.files}
                opens = not (has_begun({publication.id: shelf}) or any(map(self._intents.accepted, keys.values())))
                if opens and (under_way := [n for n in keys if self._intents.latest(keys[n])]):
                    due = [n for n in due if n in under_way][:1]
                if due and publication.id not in self.failed and self._take_turn(publication.registry):
                    steps.append(Step(publication, [self._artifacts[n] for n in due], opens))
        return steps

    def _take_turn(self, registry: str) -> bool:
        """Whether the registry's rate limit has room for one more version now, which then counts."""
        pace, sent, now = self.subject.registries[registry].pace, self._turns[registry], self.outside.clock.now()
        if pace is not None and sent and len(sent) >= pace.burst + (now - sent[0]) // pace.interval:
            return False
        sent.append(now)
        return True

    def _may_send(self, publication: PlannedPublication, name: str) -> bool:
        """Whether an absent file may be sent (again). An accepted one is waited for, a refused one not resent."""
        key = effect(publication, name)
        if not self._intents.may_send(key):
            return False
        receipt = self._intents.last_word(key)
        if receipt is not None:
            self._intents.close(key, receipt.sent, receipt.detail)
            self._fail(publication, _refusal(publication, name, receipt))
        return receipt is None

    def _send(self, step: Step) -> bool:
        """Send each file once, side by side: bytes hashed, gates read again, a fresh right, an intent on record.

        True when one was accepted.
        """
        publication = step.publication
        registry = self.outside.registries[publication.registry]
        files = self.outside.workers.map(self._bytes, step.artifacts)
        self._guard()
        try:
            right = registry.authorize(publication.package, self.outside.identity)
        except ReleaserError as error:
            self._fail(publication, error)
            return False

        def send(pair: tuple[Artifact, Path]) -> bool:
            artifact, file = pair
            key = effect(publication, artifact.name)
            self._intents.begin(key, f"sha256:{artifact.sha256}")
            with self.outside.reporter.transfer(f"{artifact.name} → {publication.registry}", artifact.size) as progress:
                receipt = registry.publish(publication, artifact, file, right, progress)
            self._intents.answered(key, receipt)
            self.outside.reporter.say("sent", effect=key, answer=receipt.sent, detail=receipt.detail)
            return receipt.sent is Sent.ACCEPTED

        pairs = list(zip(step.artifacts, files, strict=True))
        try:
            opened = step.opens and send(pairs.pop(0))
            if step.opens and not opened:
                return False
            return any(self.outside.workers.map(send, pairs)) or opened
        finally:
            registry.discard(right)

    def _bytes(self, artifact: Artifact) -> Path:
        """A private copy of an artifact whose bytes were hashed as they arrived and are the approved ones (T18)."""
        asset = next(a for a in self.view.candidate.release.assets if a.name == artifact.name)
        fetched = self.outside.scratch.fetch(asset)
        if fetched.sha256 != artifact.sha256 or (artifact.sha512 and fetched.sha512 != artifact.sha512):
            raise ConflictError(
                "asset-swapped",
                "the release's file is not the approved one",
                object=artifact.name,
                found=f"sha256:{fetched.sha256}",
                wanted=f"sha256:{artifact.sha256}",
                hint="find out who replaced it; the approval does not cover these bytes",
            )
        return fetched.file

    def _confirm(self, publication: PlannedPublication, shelf: Shelf | Unobserved) -> None:
        """Close the intents of the files that the registry shows, with our digest or with another one."""
        for name, presence in shelf.files.items() if isinstance(shelf, Shelf) else ():
            if presence is Presence.SAME:
                self._intents.close(effect(publication, name), "done", f"sha256:{self._artifacts[name].sha256}")
            elif presence is Presence.DIFFERENT:
                self._intents.close(effect(publication, name), "conflict", "other bytes")

    def _give_up(self, waiting: Sequence[PlannedPublication], shelves: Mapping[str, Shelf | Unobserved]) -> None:
        """Say of every publication that is not finished what it was waiting for."""
        for publication in waiting:
            what, shelf = f"{publication.package} {publication.version}", shelves[publication.id]
            index = self._visible.get(publication.id, shelf)
            hint = f"releaser publish {self.subject.tag}"
            error: ReleaserError
            answers = ((n, self._intents.latest(effect(publication, n))) for n in publication.files)
            later = [(n, receipt) for n, receipt in answers if receipt and receipt.sent is Sent.LATER]
            if later:
                error = _refusal(publication, *later[0])
            elif isinstance(shelf, Shelf) and isinstance(index, Shelf):
                error = WaitingError(
                    "index-lags",
                    f"{publication.registry} does not show {what} yet",
                    object=publication.id,
                    found="accepted, not visible" if is_complete(shelf) else action_for(publication, shelf)[1],
                    wanted="our digest in the consumer's index",
                    hint=hint,
                )
            else:
                text = f"{publication.registry} could not be asked about {what}"
                found = "; ".join({s.reason for s in (shelf, index) if isinstance(s, Unobserved)})
                error = ExternalError("registry-unread", text, object=publication.id, found=found, hint=hint)
            self._problem(error)

    # -- package managers -------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Update the package managers whose publications are visible, once every file can be downloaded."""
        due = [d for d in self.manifest.downstream if self.done.issuperset(d.needs)]
        seen = survey.deliveries(self.outside.dispatchers, self.outside.workers, due, self.manifest)
        actions = {d.id: delivery_action(d, seen[d.id]) for d in due}
        for entry in due:
            action, found = actions[entry.id]
            if action is Action.WAIT:
                self._problem(
                    ExternalError(
                        "delivery-unread",
                        f"{entry.repository} could not be read, so nothing was delivered",
                        object=entry.id,
                        found=found,
                        hint=f"releaser publish {self.subject.tag}",
                    )
                )
            elif action is Action.CONFLICT:
                self._problem(
                    ConflictError(
                        "delivery-conflict",
                        f"{entry.repository} has something that may not be replaced, so nothing was delivered",
                        object=entry.id,
                        found=found,
                        wanted="the rendered file, an older version of it, or nothing",
                        hint=f"find out whose it is; once it is out of the way: releaser publish {self.subject.tag}",
                    )
                )
        pending = [d for d in due if actions[d.id][0] is Action.PUBLISH]
        if pending:
            self._wait_for_files()
        for entry in pending:
            self._guard()
            try:
                self._deliver(entry)
            except ReleaserError as error:
                self._problem(error)
                self.outside.reporter.say("delivery-failed", downstream=entry.id, reason=error.message)

    def _deliver(self, entry: PlannedDelivery) -> None:
        """Send, unless what was sent before may still turn up, and look until it is there."""
        dispatcher, key = self.outside.dispatchers[entry.kind], self._delivery_key(entry)

        def arrived() -> Delivery | None:
            seen = dispatcher.observe(entry, self.manifest)
            return seen if has_arrived(seen) else None

        def found(receipt: Receipt) -> Delivery | None:
            patient = receipt.sent in (Sent.ACCEPTED, Sent.UNKNOWN)
            return self._until(self.patience.settle if patient else self.patience.refused, arrived)

        receipt = self._intents.latest(key)
        seen = found(receipt) if receipt else None
        if receipt is None or (seen is None and self._intents.may_send(key)):
            self._intents.begin(key, self.manifest.digest())
            receipt = dispatcher.deliver(entry, self.manifest)
            self._intents.answered(key, receipt)
            seen = found(receipt)
        if seen is None:
            if receipt.sent is Sent.REFUSED:
                self._intents.close(key, receipt.sent, receipt.detail)
            raise self._undelivered(entry, receipt)
        self._confirm_delivery(entry, seen)
        self.outside.reporter.say("delivered", downstream=entry.id, detail=seen.detail or seen.state)

    def _undelivered(self, entry: PlannedDelivery, receipt: Receipt) -> ExternalError:
        """What to say of a delivery that does not show."""
        found, hint = receipt.detail or receipt.sent, f"releaser publish {self.subject.tag}"
        if receipt.sent in (Sent.ACCEPTED, Sent.UNKNOWN):
            return ExternalError(
                "delivery-unseen",
                f"{entry.repository} does not show what was delivered",
                object=entry.id,
                found=found,
                wanted="the rendered file",
                hint=hint,
            )
        return ExternalError(
            "delivery-refused",
            f"{entry.repository} did not take the delivery",
            retryable=receipt.sent is Sent.LATER,
            object=entry.id,
            found=found,
            wanted="acceptance",
            hint=hint,
        )

    def _delivery_key(self, entry: PlannedDelivery) -> str:
        return f"{entry.kind}/{entry.repository}/{entry.id}/{self.manifest.version}"

    def _confirm_delivery(self, entry: PlannedDelivery, seen: Delivery | Unobserved) -> None:
        """Close the intent of a package manager that has this release."""
        if isinstance(seen, Delivery) and has_arrived(seen):
            self._intents.close(self._delivery_key(entry), "done", seen.detail or seen.state)

    def _wait_for_files(self) -> None:
        """Return once anybody can download every file; a package manager must not point at a draft (T63)."""
        names = {a.name for a in self.manifest.artifacts}

        def public() -> Release | None:
            release = self._public_release()
            files = [a for a in release.assets if a.name in names] if release else []
            downloadable = self.outside.workers.map(self.outside.forge.is_public, files)
            return release if len(files) == len(names) and all(downloadable) else None

        if self._until(self.patience.visible, public) is None:
            raise WaitingError(
                "files-not-public",
                "the release's files cannot be downloaded yet",
                object=self.view.candidate.release.url,
                found="a file that only members of the repository can download",
                wanted="every file public",
                hint=f"releaser publish {self.subject.tag}",
            )

    # -- shared -----------------------------------------------------------------------------------------------

    def _guard(self) -> View:
        """Read again whatever voids an approval, right before an irreversible step (T4, T7, T18, T29)."""
        view = glance(self.outside, self.subject, begun=self._begun)
        self._require_same(view)
        require(view.rows, self.subject.tag)
        return view

    def _require_same(self, view: View) -> None:
        if view.manifest != self.manifest:
            raise ConflictError(
                "manifest-swapped",
                "release.json was replaced while it was being published",
                object=self.subject.tag,
                found=view.manifest.digest(),
                wanted=self.manifest.digest(),
                hint=f"releaser status {self.subject.tag}",
            )

    def _fail(self, publication: PlannedPublication, error: ReleaserError) -> None:
        if publication.id in self.failed:
            return
        self.failed.add(publication.id)
        self._problem(error)
        self.outside.ledger.append("failed", {"publication": publication.id, "code": error.code, "found": error.found})
        self.outside.reporter.say("refused", publication=publication.id, reason=error.message, found=error.found)

    def _problem(self, error: ReleaserError) -> None:
        """Keep what stands in the way, once."""
        if (error.code, error.object) not in ((p.code, p.object) for p in self.problems):
            self.problems.append(error)

    def _until(self, seconds: float, look: Callable[[], T | None]) -> T | None:
        """What *look* finds, looking again and again; None when the time is over."""
        deadline = self._after(seconds)
        while True:
            found = look()
            if found is not None or self.outside.clock.now() >= deadline:
                return found
            self.outside.clock.sleep(self.patience.poll)

    def _after(self, seconds: float) -> datetime:
        return self.outside.clock.now() + timedelta(seconds=seconds)


def effect(publication: PlannedPublication, name: str) -> str:
    """The key of one irreversible write: at most one accepted write ever happens under it."""
    return f"{publication.registry}/{publication.package}/{publication.version}/{name}"


def _conflict(publication: PlannedPublication, shelf: Shelf) -> ConflictError:
    return ConflictError(
        "registry-conflict",
        action_for(publication, shelf)[1],
        object=f"{publication.package} {publication.version} at {publication.registry}",
        found="other bytes",
        wanted="the approved bytes",
        hint="other bytes are public under this version: choose a new version",
    )


def _refusal(publication: PlannedPublication, name: str, receipt: Receipt) -> ExternalError:
    return ExternalError(
        "registry-refused",
        f"{publication.registry} refused {name}",
        retryable=receipt.sent is not Sent.REFUSED,
        object=f"{publication.package} {publication.version} at {publication.registry}",
        found=receipt.detail or receipt.sent,
        wanted="acceptance",
        hint="mend the cause and run `releaser publish` again; what is already out stays as it is",
    )
