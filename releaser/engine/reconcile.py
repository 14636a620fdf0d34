"""The only loop that changes the world: observe, decide, act on what is missing, read back, record.

Level-triggered: everything is decided from what is seen now, so the same call starts a release, resumes it after
a crash and confirms it when it is done. A write's answer is a hint; only a registry that shows our digest counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from releaser.engine import survey
from releaser.engine.draft import release_of
from releaser.engine.planner import delivery_action
from releaser.engine.ports import Credential, Outside, Receipt, Sent
from releaser.engine.states import State, is_complete
from releaser.engine.view import Subject, View, glance, is_served, look
from releaser.errors import ConflictError, ExternalError, RefusedError, ReleaserError, WaitingError
from releaser.model.artifact import Artifact
from releaser.model.facts import Presence, Shelf, Unobserved
from releaser.model.manifest import PlannedDelivery, PlannedPublication
from releaser.model.plan import Action, GateRow, Status
from releaser.policy.world import action_for

_ATTEMPTS = 3
Step = tuple[PlannedPublication, Artifact]


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
    if view.state is State.RELEASED:
        run.settle_intents()
        return Result(view, State.RELEASED, ())
    require(view.rows, subject.tag)
    run.settle_intents()
    run.preflight()
    run.act()
    final = look(outside, subject)
    state = _final_state(final, run.problems)
    outside.ledger.append("state", {"state": state, "manifest": final.manifest.digest()})
    return Result(final, state, tuple(sorted(run.problems, key=lambda p: -p.exit)))


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


def _final_state(view: View, problems: Sequence[ReleaserError]) -> State:
    if any(isinstance(p, ConflictError) for p in problems):
        return State.NEEDS_HUMAN
    if view.state is not State.RELEASED and any(isinstance(p, ExternalError) and not p.retryable for p in problems):
        return State.PARTIAL
    return view.state


class _Run:
    """One call of `publish`: what this run has sent, and what it must not send again yet."""

    def __init__(self, outside: Outside, subject: Subject, patience: Patience, view: View) -> None:
        self.outside = outside
        self.subject = subject
        self.patience = patience
        self.view = view
        self.manifest = view.manifest
        self.problems: list[ReleaserError] = []
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self._artifacts = {a.name: a for a in self.manifest.artifacts}
        self._attempts: dict[str, int] = {}
        self._receipts: dict[str, Receipt] = {}
        self._not_before: dict[str, datetime] = {}
        self._open: dict[str, datetime] = _open_intents(outside)

    # -- before the first effect ------------------------------------------------------------------------------

    def settle_intents(self) -> None:
        """Resolve what an interrupted run left open: done if the registry shows it, else not to be sent too soon."""
        for publication in self.manifest.publications:
            shelf = self.view.world.shelves[publication.id]
            for name in publication.files:
                key = effect(publication, name)
                if key in self._open and isinstance(shelf, Shelf) and shelf.files.get(name) is Presence.SAME:
                    self._confirm(publication, name)
                elif key in self._open:
                    self._not_before[key] = self._open[key] + timedelta(seconds=self.patience.settle)

    def preflight(self) -> None:
        """Exchange identities for every target that will be written, and give the rights back: all or nothing."""
        missing = [p for p in self.manifest.publications if not is_complete(self.view.world.shelves[p.id])]

        def attempt(publication: PlannedPublication) -> ReleaserError | None:
            registry = self.outside.registries[publication.registry]
            try:
                registry.discard(registry.authorize(publication.package, self.outside.identity))
            except ReleaserError as error:
                return error
            return None

        refused = [e for e in self.outside.workers.map(attempt, missing) if e is not None]
        for error in refused:
            self.outside.reporter.say("preflight-refused", object=error.object, reason=error.message)
        if refused:
            raise refused[0]
        if missing:
            self.outside.reporter.say("preflight-passed", targets=[p.id for p in missing])

    def act(self) -> None:
        """Every effect, in order. What stops it midway is a problem of the result, not lost work."""
        try:
            self.make_public()
            self.converge()
            self.deliver()
        except ReleaserError as error:
            self.problems.append(error)
            self.outside.reporter.say("stopped", code=error.code, reason=error.message, found=error.found)

    # -- effects ----------------------------------------------------------------------------------------------

    def make_public(self) -> None:
        """Publish the draft on the forge, unless somebody already did."""
        release = self.view.candidate.release
        if not release.draft:
            return
        self._guard()
        key = f"release/{self.subject.tag}"
        self.outside.ledger.append("intent", {"effect": key, "digest": self.manifest.digest()})
        public = self.outside.forge.publish(release, latest=self._is_latest())
        self.outside.ledger.append("outcome", {"effect": key, "result": "done", "evidence": public.url})
        self.outside.reporter.say("release-public", url=public.url)

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

    def converge(self) -> None:
        """Publish until every target is visible, refused, or held back by one that is."""
        deadline = self._after(self.patience.visible)
        while True:
            ready = self._ready()
            if not ready:
                return
            shelves = survey.shelves(self.outside.registries, self.outside.workers, ready, self._artifacts)
            moved = self._settle(ready, shelves)
            steps = self._steps(ready, shelves)
            if steps:
                self._send(steps)
                deadline = self._after(self.patience.visible)
            elif not moved:
                if self.outside.clock.now() >= deadline:
                    self._give_up(self._ready())
                    return
                self.outside.clock.sleep(self.patience.poll)

    def _ready(self) -> list[PlannedPublication]:
        return [
            p
            for p in self.manifest.publications
            if p.id not in self.done | self.failed and self.done.issuperset(p.needs)
        ]

    def _settle(self, ready: Sequence[PlannedPublication], shelves: dict[str, Shelf | Unobserved]) -> bool:
        """Note what the registries now show; True when a publication is finished either way."""
        complete = [p for p in ready if is_complete(shelves[p.id])]
        visible = survey.shelves(self.outside.registries, self.outside.workers, complete, self._artifacts, visible=True)
        before = len(self.done) + len(self.failed)
        for publication in ready:
            shelf = shelves[publication.id]
            if isinstance(shelf, Unobserved):
                continue
            for name, presence in shelf.files.items():
                if presence is Presence.SAME:
                    self._confirm(publication, name)
            action, reason = action_for(publication, shelf)
            if action is Action.CONFLICT:
                self._fail(
                    publication,
                    ConflictError(
                        "registry-conflict",
                        reason,
                        object=f"{publication.package} {publication.version} at {publication.registry}",
                        found="other bytes",
                        wanted="the approved bytes",
                        hint="other bytes are public under this version: choose a new version",
                    ),
                )
            elif publication in complete and is_complete(visible[publication.id]):
                self.done.add(publication.id)
                self.outside.reporter.say("visible", publication=publication.id, registry=publication.registry)
        return len(self.done) + len(self.failed) > before

    def _steps(self, ready: Sequence[PlannedPublication], shelves: dict[str, Shelf | Unobserved]) -> list[Step]:
        """The files to send now: absent at their registry, and not on their way."""
        steps = []
        for publication in ready:
            shelf = shelves[publication.id]
            if publication.id in self.failed or isinstance(shelf, Unobserved):
                continue
            for name, presence in shelf.files.items():
                if presence is Presence.ABSENT and self._may_send(publication, name):
                    steps.append((publication, self._artifacts[name]))
        return steps

    def _may_send(self, publication: PlannedPublication, name: str) -> bool:
        """Whether an absent file may be sent (again). An accepted one is waited for, a refused one not resent."""
        key = effect(publication, name)
        if self.outside.clock.now() < self._not_before.get(key, self.outside.clock.now()):
            return False
        receipt = self._receipts.get(key)
        if receipt is None:
            return True
        if receipt.sent is Sent.ACCEPTED:
            return False
        if receipt.sent is Sent.REFUSED or self._attempts[key] >= _ATTEMPTS:
            self._fail(publication, _refusal(publication, name, receipt))
            return False
        return True

    def _send(self, steps: Sequence[Step]) -> None:
        """Send every step once, side by side: bytes re-hashed, gates read again, a fresh right per package."""
        files = dict(zip((a.name for _, a in steps), self.outside.workers.map(self._bytes, steps), strict=True))
        self._guard()
        packages = {p.id: p for p, _ in steps}
        rights = dict(zip(packages, self.outside.workers.map(self._authorize, packages.values()), strict=True))

        def send(step: Step) -> None:
            publication, artifact = step
            right = rights[publication.id]
            if isinstance(right, ReleaserError):
                return
            key = effect(publication, artifact.name)
            self.outside.ledger.append("intent", {"effect": key, "digest": f"sha256:{artifact.sha256}"})
            self._open[key] = self.outside.clock.now()
            registry = self.outside.registries[publication.registry]
            with self.outside.reporter.transfer(f"{artifact.name} → {publication.registry}", artifact.size) as progress:
                receipt = registry.publish(publication, artifact, files[artifact.name], right)
                progress(artifact.size)
            self._note(key, receipt)

        self.outside.workers.map(send, steps)
        for name, right in rights.items():
            publication = packages[name]
            if isinstance(right, ReleaserError):
                self._fail(publication, right)
            else:
                self.outside.registries[publication.registry].discard(right)

    def _authorize(self, publication: PlannedPublication) -> Credential | ReleaserError:
        try:
            return self.outside.registries[publication.registry].authorize(publication.package, self.outside.identity)
        except ReleaserError as error:
            return error

    def _note(self, key: str, receipt: Receipt) -> None:
        """Remember a write's answer and how long to wait before it may be repeated."""
        self._attempts[key] = self._attempts.get(key, 0) + 1
        self._receipts[key] = receipt
        wait = {
            Sent.ACCEPTED: 0.0,
            Sent.REFUSED: self.patience.refused,
            Sent.LATER: max(receipt.wait, self.patience.poll),
            Sent.UNKNOWN: self.patience.settle,
        }[receipt.sent]
        self._not_before[key] = self._after(wait)
        self.outside.ledger.append("answer", {"effect": key, "result": receipt.sent, "detail": receipt.detail})
        self.outside.reporter.say("sent", effect=key, answer=receipt.sent, detail=receipt.detail)

    def _bytes(self, step: Step) -> Path:
        """A private copy of an artifact whose bytes were hashed as they arrived and are the approved ones (T18)."""
        _, artifact = step
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

    # -- package managers -------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Update the package managers whose publications are visible, once every file can be downloaded."""
        due = [d for d in self.manifest.downstream if self.done.issuperset(d.needs)]
        seen = survey.deliveries(self.outside.dispatchers, self.outside.workers, due, self.manifest)
        pending = [d for d in due if delivery_action(d, seen[d.id])[0] is not Action.SKIP]
        if not pending:
            return
        self._wait_for_files()
        self._guard()
        for entry in pending:
            try:
                self._deliver(entry)
            except ReleaserError as error:
                self.problems.append(error)
                self.outside.reporter.say("delivery-failed", downstream=entry.id, reason=error.message)

    def _deliver(self, entry: PlannedDelivery) -> None:
        dispatcher = self.outside.dispatchers[entry.kind]
        key = f"{entry.kind}/{entry.repository}/{entry.id}/{self.manifest.version}"
        self.outside.ledger.append("intent", {"effect": key, "digest": self.manifest.digest()})
        receipt = dispatcher.deliver(entry, self.manifest)
        after = dispatcher.observe(entry, self.manifest)
        if not is_served(after):
            raise ExternalError(
                "delivery-unseen",
                f"{entry.repository} does not show what was delivered",
                object=entry.id,
                found=receipt.detail or after.state,
                wanted="the rendered file",
                hint=f"releaser publish {self.subject.tag}",
            )
        self.outside.ledger.append(
            "outcome", {"effect": key, "result": "done", "evidence": after.detail or after.state}
        )
        self.outside.reporter.say("delivered", downstream=entry.id, detail=after.detail or after.state)

    def _wait_for_files(self) -> None:
        """Return once anybody can download every file; a package manager must not point at a draft (T63)."""
        names = {a.name for a in self.manifest.artifacts}
        deadline = self._after(self.patience.visible)
        while True:
            current = release_of(self.outside.forge.releases(self.subject.tag)) or self.view.candidate.release
            files = [a for a in current.assets if a.name in names]
            if len(files) == len(names) and all(self.outside.workers.map(self.outside.forge.is_public, files)):
                return
            if self.outside.clock.now() >= deadline:
                raise WaitingError(
                    "files-not-public",
                    "the release's files cannot be downloaded yet",
                    object=current.url,
                    hint=f"releaser publish {self.subject.tag}",
                )
            self.outside.clock.sleep(self.patience.poll)

    # -- shared -----------------------------------------------------------------------------------------------

    def _guard(self) -> None:
        """Read again whatever voids an approval, right before an irreversible step (T4, T7, T18, T29)."""
        begun = bool(self.done or self._receipts)
        view = glance(self.outside, self.subject, begun=begun)
        if view.manifest.digest() != self.manifest.digest():
            raise ConflictError(
                "manifest-swapped",
                "release.json was replaced while it was being published",
                object=self.subject.tag,
                found=view.manifest.digest(),
                wanted=self.manifest.digest(),
                hint=f"releaser status {self.subject.tag}",
            )
        require(view.rows, self.subject.tag)

    def _confirm(self, publication: PlannedPublication, name: str) -> None:
        """Close an open intent with what the registry shows."""
        key = effect(publication, name)
        if self._open.pop(key, None) is not None:
            digest = f"sha256:{self._artifacts[name].sha256}"
            self.outside.ledger.append("outcome", {"effect": key, "result": "done", "evidence": digest})

    def _fail(self, publication: PlannedPublication, error: ReleaserError) -> None:
        if publication.id in self.failed:
            return
        self.failed.add(publication.id)
        self.problems.append(error)
        self.outside.ledger.append("failed", {"publication": publication.id, "code": error.code, "found": error.found})
        self.outside.reporter.say("refused", publication=publication.id, reason=error.message, found=error.found)

    def _give_up(self, waiting: Sequence[PlannedPublication]) -> None:
        for publication in waiting:
            self.problems.append(
                WaitingError(
                    "index-lags",
                    f"{publication.registry} does not show {publication.package} {publication.version} yet",
                    object=publication.id,
                    found="accepted, not visible",
                    wanted="our digest in the consumer's index",
                    hint=f"releaser publish {self.subject.tag}",
                )
            )

    def _after(self, seconds: float) -> datetime:
        return self.outside.clock.now() + timedelta(seconds=seconds)


def effect(publication: PlannedPublication, name: str) -> str:
    """The key of one irreversible write: at most one accepted write ever happens under it."""
    return f"{publication.registry}/{publication.package}/{publication.version}/{name}"


def _open_intents(outside: Outside) -> dict[str, datetime]:
    """Effects that an earlier run meant to send and never saw done, with the time it meant to."""
    intents: dict[str, datetime] = {}
    for record in outside.ledger.entries():
        if record["kind"] == "intent":
            intents[record["body"]["effect"]] = datetime.fromisoformat(record["at"])
        elif record["kind"] == "outcome":
            intents.pop(record["body"]["effect"], None)
    return intents


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
