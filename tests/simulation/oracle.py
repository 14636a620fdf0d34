"""Judges what a story left behind: the calls as the world saw them, what registries hold, and the ledger's lines.

Written from the promises (I1 to I13), not from the engine, of which nothing is imported. What a run may rely on is
what it was shown: an effect is allowed when the same task read every fact that allows it after the effect's intent was
durable, and was shown good ones.
"""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.oracle_guard import FACTS, Guard, Manifest, read_manifest
from tests.simulation.oracle_ledger import Violation, chain, read
from tests.simulation.scheduler import Event

SETTLE = 120.0
"""Seconds for which a write without an answer is looked for before it is sent again."""
ATTEMPTS = 3
LIFE = 900.0
"""Seconds for which the rights of all registries hold in these stories."""
STALE = 600.0
"""Seconds after which a right that is denied may have lapsed."""


@dataclass(frozen=True)
class Evidence:
    """What there is to judge. ``arrived`` are our uploads that registries took, ``taken`` is what they hold by anybody;
    ``tag`` is the release's, ``said`` everything that people were told."""

    log: Sequence[Event]
    lines: Sequence[bytes]
    arrived: Mapping[str, Sequence[Any]]
    taken: Mapping[str, Sequence[Any]]
    uploaded: Mapping[int, bytes]
    public: int
    tag: str
    said: str
    interleaved: bool = False
    skewed: bool = False


@dataclass
class _Run:
    """What one process has read, meant and sent so far."""

    intents: dict[str, int] = field(default_factory=dict)
    shown: set[tuple[str, str, str, str, str]] = field(default_factory=set)
    visible: set[tuple[str, str, str, str, str]] = field(default_factory=set)
    looks: dict[tuple[str, str, str], Event] = field(default_factory=dict)
    public: bool = False
    downloadable: set[str] = field(default_factory=set)
    tapped: bool = False
    unauthorized: bool = False
    meant: bool = False
    sent: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    last_target: str = ""
    last_send: int = -1
    before_target: int = -1


def judge(evidence: Evidence) -> list[Violation]:
    """Every promise that was broken."""
    return [*_Judge(evidence).violations(), *chain(evidence.lines), *_secrets(evidence), *_public(evidence)]


def _public(evidence: Evidence) -> Iterator[Violation]:
    if evidence.public > 1:
        yield Violation("I1", f"{evidence.public} releases of one tag are public")


def _secrets(evidence: Evidence) -> Iterator[Violation]:
    giving = {"identity.token", *(f"{registry}.authorize" for registry in evidence.arrived)}
    rights = (e.truth for e in evidence.log if e.call in giving and e.truth)
    secrets = {right if isinstance(right, str) else right.secret for right in rights}
    told = b"".join(evidence.lines).decode(errors="replace") + evidence.said
    for secret in sorted(secrets):
        if secret in told:
            yield Violation("I12", "a secret is on record or was told")


class _Judge:
    """One walk along the log."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.found: list[Violation] = []
        self.runs: dict[str, _Run] = defaultdict(_Run)
        self.manifest: Manifest | None = None
        self.owner = ""
        self.epoch = 0
        self.accepted: dict[str, int] = {}
        self.begun = False
        self.touched = False
        self.uploads = {f"{registry}.publish" for registry in evidence.arrived}
        self.committed: dict[tuple[str, str, str], bytes] = {}
        self.sends: dict[str, list[Event]] = defaultdict(list)
        self.meant: dict[int, float] = {}

    def violations(self) -> list[Violation]:
        handlers: dict[str, Callable[[Event], None] | None] = {}
        for event in self.evidence.log:
            call = event.call
            if call not in handlers:
                name = _handler(call)
                handlers[call] = getattr(self, name) if name else None
            handle = handlers[call]
            if handle is not None and (not event.late or call == "ledger.extend"):
                handle(event)
            if call in self.uploads or event.process == "somebody":
                self.touched = True
        self._arrivals()
        return self.found

    def _broken(self, invariant: str, what: str, event: Event) -> None:
        self.found.append(Violation(invariant, f"{event.process} {what}", event.step))

    # Reads

    def _releases(self, event: Event) -> None:
        run = self.runs[event.process]
        if event.error is None:
            run.public = run.public or any(not r.draft for r in event.result or ())

    def _is_public(self, event: Event) -> None:
        if event.result:
            self.runs[event.process].downloadable.add(event.args[0].name)

    def _listed(self, event: Event) -> None:
        registry, _, name = event.call.rpartition(".")
        run = self.runs[event.process]
        if name == "observe":
            run.looks[registry, event.args[0], event.args[1]] = event
        if event.error is None and event.result is not None:
            for file, digest in event.result.files.items():
                place = (registry, event.args[0], event.args[1], file, digest)
                run.shown.add(place)
                if name == "visible":
                    run.visible.add(place)

    def _asked(self, event: Event) -> None:
        run = self.runs[event.process]
        run.unauthorized = run.unauthorized or (event.error is not None and not run.meant)

    def _tap_file(self, event: Event) -> None:
        if event.result:
            self.runs[event.process].tapped = True

    # The ledger

    def _extend(self, event: Event) -> None:
        if not event.truth:
            return
        _, lines = event.args
        run = self.runs[event.process]
        for line in lines:
            record = read(line)
            kind, body = record["kind"], record["body"]
            if kind == "run":
                self.owner = event.process
                if body["epoch"] != self.epoch + 1:
                    self._broken("I11", f"claims epoch {body['epoch']} after {self.epoch}", event)
                self.epoch = body["epoch"]
            elif self.owner != event.process:
                self._broken("I11", f"records {kind} while {self.owner or 'nobody'} has the release", event)
            if kind == "intent":
                if body["epoch"] != self.epoch:
                    self._broken("I11", f"means {body['effect']} in epoch {body['epoch']} of {self.epoch}", event)
                if run.unauthorized and not run.meant:
                    self._broken("I2", f"means {body['effect']} although a target has refused it the right", event)
                run.meant = True
                run.intents[body["effect"]] = event.step
            elif kind == "answer":
                if body["result"] == "accepted":
                    self.accepted[body["effect"]] = event.step
            elif kind == "outcome":
                run.intents.pop(body["effect"], None)
                if body["result"] == "done":
                    self._done(event, run, body["effect"])

    def _done(self, event: Event, run: _Run, effect: str) -> None:
        """Only what was read back is done."""
        place = self._place(effect)
        if effect.startswith("release/"):
            read = run.public
        elif place is not None:
            read = place in run.shown
        else:
            read = run.tapped
        if not read:
            self._broken("I5", f"records {effect} as done, and did not see it", event)

    def _place(self, effect: str) -> tuple[str, str, str, str, str] | None:
        """Where a registry shows the file of an effect, and with which digest."""
        if self.manifest is None:
            return None
        return self.manifest.places.get(effect)

    # Writes

    def _undraft(self, event: Event) -> None:
        self._allowed(event, f"release/{self.evidence.tag}", "the forge")

    def _publish(self, event: Event) -> None:
        publication, artifact, file = event.args[:3]
        registry = event.call.rpartition(".")[0]
        key = f"{registry}/{publication.package}/{publication.version}/{artifact.name}"
        manifest = self._allowed(event, key, publication.id)
        if manifest is not None:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if manifest.artifacts.get(artifact.name) != digest:
                self._broken("I3", f"sends other bytes than the approved ones as {artifact.name}", event)
            self._after(event, manifest, manifest.needs(publication.id))
            self._absent(event, manifest.places[key])
        self._again(event, key)

    def _commit(self, event: Event) -> None:
        tap = event.call.rpartition(".")[0]
        branch, path, content = event.args[:3]
        manifest = self._guarded_manifest(event)
        entry = next((d for d in manifest.deliveries if d["repository"] == tap), None) if manifest else None
        if manifest is None or entry is None:
            self._broken("I2", f"commits to {tap}, which no approved release says", event)
            return
        key = f"{entry['kind']}/{tap}/{entry['id']}/{manifest.version}"
        self._allowed(event, key, tap)
        self._after(event, manifest, entry["needs"])
        run = self.runs[event.process]
        if not run.public or not manifest.artifacts.keys() <= run.downloadable:
            self._broken("I7", "tells a package manager of files that it did not see public", event)
        if self.committed.setdefault((tap, branch, path), content) != content:
            self._broken("I1", f"writes two contents to {path} of {tap}", event)

    def _after(self, event: Event, manifest: Manifest, needs: Sequence[str]) -> None:
        """What is needed is visible to those who would need it."""
        visible = self.runs[event.process].visible
        unseen = [p for n in needs for p in manifest.places_of(n) if p not in visible]
        if unseen:
            self._broken("I7", f"goes on although {unseen[0][3]} was not visible", event)

    def _absent(self, event: Event, place: tuple[str, str, str, str, str]) -> None:
        """Only what the latest look did not find is sent: neither what is there nor what could not be looked for."""
        look = self.runs[event.process].looks.get(place[:3])
        if look is None or look.error is not None or place[3] in look.result.files:
            self._broken("I1", f"sends {place[3]}, which it did not see absent", event)

    def _guarded_manifest(self, event: Event) -> Manifest | None:
        releases = next((seen for name, seen in self._reads(event) if name == "releases"), None)
        return read_manifest(releases.result, self.evidence.uploaded) if releases else None

    def _reads(self, event: Event, since: int = -1) -> Iterator[tuple[str, Event]]:
        """The facts that the calling task and those that started it have read *since* a step, the newest first."""
        for step in range(event.step - 1, since, -1):
            seen = self.evidence.log[step]
            name = _FACTS.get(seen.call)
            mine = seen.process == event.process and event.task[: len(seen.task)] == seen.task
            if name is not None and mine and seen.error is None and not seen.late:
                yield f"voter {seen.args[0].id}" if name == "voter" else name, seen

    def _allowed(self, event: Event, key: str, target: str) -> Manifest | None:
        """The approved manifest, if everything that allows the effect was read after its intent, and was good."""
        run = self.runs[event.process]
        self.sends[key].append(event)
        intent = run.intents.get(key)
        if intent is None:
            self.meant[event.step] = event.time
            self._broken("I4", f"sends {key} without an intent on record", event)
            return None
        if any(sent.step > intent for sent in run.sent[key]):
            self._broken("I4", f"sends {key} twice for one intent", event)
        run.sent[key].append(event)
        self.meant[event.step] = self.evidence.log[intent].time
        since = intent
        if not self.evidence.interleaved:  # then targets are guarded one after the other
            if target != run.last_target:
                run.before_target, run.last_target = run.last_send, target
            run.last_send = event.step
            since = max(intent, run.before_target)
        facts: dict[str, Event] = {}
        for name, seen in self._reads(event, since):
            facts.setdefault(name, seen)
        self.manifest = self.manifest or self._guarded_manifest(event)
        guard = Guard(facts, self.evidence.uploaded, begun=self._has_begun(event))
        for invariant, what in guard.objections():
            self._broken(invariant, f"sends {key}: {what}", event)
        return guard.manifest

    def _has_begun(self, event: Event) -> bool:
        """Whether a registry holds bytes of the release by then, whoever sent them."""
        if not self.begun:
            digests = self.manifest.digests if self.manifest else frozenset()
            now = _EPOCH + event.time  # at which something may be there only when somebody has uploaded before
            self.begun = any(
                a.digest in digests and (a.at.timestamp() < now or (a.at.timestamp() == now and self.touched))
                for arrivals in self.evidence.taken.values()
                for a in arrivals
            )
        return self.begun

    def _again(self, event: Event, key: str) -> None:
        """Sends of one file: few, never after a yes, and not before the time for which one has to look."""
        earlier = self.sends[key][:-1]
        mine = [e for e in earlier if e.process == event.process]
        if self.accepted.get(key, event.step) < self.runs[event.process].intents.get(key, 0):
            self._broken("I1", f"means and sends {key} again after it was accepted", event)
        if sum(_word(e) != "later" for e in mine) >= ATTEMPTS:
            self._broken("I13", f"sends {key} more than {ATTEMPTS} times", event)
        for sent in earlier if not self.evidence.skewed else mine:
            # Of another run's send only the intent is known, which may be a good while older.
            since = sent.time if sent.process == event.process else self.meant[sent.step]
            word, waited = _word(sent), event.time - since
            if word == "later" and sent.process == event.process and waited < sent.result.wait:
                self._broken("I13", f"does not wait as {key} was told to", event)
            elif word in ("refused", "taken") and sent.process == event.process:
                self._broken("I13", f"sends {key} again after a refusal", event)
            elif word == "denied" and sent.process == event.process and not _renewed(sent, event):
                self._broken("I13", f"sends {key} again although its right was denied", event)
            elif word == "unknown" and waited < SETTLE:
                self._broken("I13", f"sends {key} again after {waited:.0f} s without an answer", event)

    def _arrivals(self) -> None:
        """At most one content under each name, and that is the approved one."""
        for registry, arrivals in self.evidence.arrived.items():
            contents: dict[tuple[str, str, str], set[str]] = defaultdict(set)
            for arrival in arrivals:
                contents[arrival.package, arrival.version, arrival.name].add(arrival.digest)
            for place, digests in contents.items():
                approved = self.manifest is not None and (registry, *place, *digests) in self.manifest.all_places
                if len(digests) > 1 or not approved:
                    self.found.append(Violation("I1", f"{registry} took {len(digests)} contents as {place[2]} from us"))


def _renewed(sent: Event, event: Event) -> bool:
    """Whether the right of *sent* was old enough by then to have lapsed, and *event* has another one."""
    given = sent.args[3].expires - LIFE
    return bool(event.args[3] != sent.args[3] and _EPOCH + event.time - given >= STALE)


def _word(event: Event) -> str:
    """What became of a send, as its sender knows it."""
    return "unknown" if event.result is None else str(event.result.sent)


_EPOCH = 1767614400.0  # 2026-01-05 12:00 UTC, when every story begins


_FACTS = {f"forge.{name}": name for name in (*FACTS, "voter")}


@functools.cache
def _handler(call: str) -> str:
    """The name of what takes in a call of that name; empty for one that says nothing."""
    part, _, name = call.rpartition(".")
    if part == "forge":
        return {"publish": "_undraft", "releases": "_releases", "is_public": "_is_public"}.get(name, "")
    if part == "ledger":
        return "_extend" if name == "extend" else ""
    return {
        "authorize": "_asked",
        "publish": "_publish",
        "observe": "_listed",
        "visible": "_listed",
        "commit": "_commit",
        "file": "_tap_file",
        "open_pull_request": "_tap_file",
    }.get(name, "")
