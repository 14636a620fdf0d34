"""What other people do to a release while it is on its way: the moves that void, reject, freeze or spoil it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from releaser.engine.vote import asset_name
from releaser.model.approval import Decision
from releaser.model.facts import CheckState, Freeze
from releaser.model.manifest import APPROVAL_PREFIX, ASSET, CHECKSUMS
from tests.world import BRANCH, Account

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

ELSEWHERE = "d4" * 20


class Moves:
    """Everything that somebody else can do on a stage; each is harmless where there is nothing to do it to."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.world = stage.world
        self.forge = stage.world.forge

    def move_tag(self) -> None:
        """the tag is moved to another commit"""
        for name, tag in self.forge.tags.items():
            self.forge.tags[name] = replace(tag, object=ELSEWHERE, commit=ELSEWHERE)

    def delete_tag(self) -> None:
        """the tag is deleted"""
        self.forge.tags.clear()

    def rewrite_branch(self) -> None:
        """the branch loses the tagged commit"""
        self.forge.branches[BRANCH].clear()

    def fail_check(self) -> None:
        """a required check fails after all"""
        self.forge.states["ci-complete"] = CheckState.FAILURE

    def edit_policy(self) -> None:
        """the policy is edited"""
        self.world.policy(self.stage.policy + "# edited\n")

    def remove_approver(self) -> None:
        """an approver leaves the team"""
        self._first().roles = frozenset()

    def hide_approver(self) -> None:
        """the forge cannot say any more what an approver may do"""
        self._first().roles = None

    def withdraw(self) -> None:
        """an approval is deleted"""
        for release, name in self._assets():
            if name.startswith(APPROVAL_PREFIX):
                self.forge.drop(release, name)
                return

    def reject(self) -> None:
        """a maintainer rejects it"""
        self._decide(Decision.REJECT)

    def approve(self) -> None:
        """one more maintainer approves it"""
        self._decide(Decision.APPROVE)

    def swap_asset(self) -> None:
        """a file of the release is replaced"""
        from tests.simulation.stage import STRANGER

        victim = self.stage.shape.files[-1].name
        for held in self._releases():
            if victim in self._names(held):
                self.forge.drop(held, victim)
                self.forge.put(held, victim, b"other bytes\n", STRANGER)

    def tamper(self) -> None:
        """the bytes behind a file change, and not what is shown of it"""
        victim = self.stage.shape.files[0].name
        for held in self._releases():
            if victim in self._names(held):
                self.forge.tamper(held, victim, b"other bytes\n")

    def add_asset(self) -> None:
        """a file that is no part of it is added to the release"""
        from tests.simulation.stage import STRANGER

        for held in self._releases():
            if "extra" not in self._names(held):
                self.forge.put(held, "extra", b"extra", STRANGER)

    def replace_manifest(self) -> None:
        """another whole manifest takes the place of the approved one"""
        from tests.simulation.stage import STRANGER

        other = self.stage.manifest.model_copy(update={"initiator": None})
        for held in self._releases():
            if {ASSET, CHECKSUMS} <= set(self._names(held)):
                for name, data in ((ASSET, other.canonical()), (CHECKSUMS, other.checksums())):
                    self.forge.drop(held, name)
                    self.forge.put(held, name, data, STRANGER)

    def publish_other(self) -> None:
        """somebody publishes other bytes under one of the names"""
        self._plant(b"other bytes\n", last=True)

    def publish_other_first(self) -> None:
        """somebody publishes other bytes under the first of the names"""
        self._plant(b"other bytes\n", last=False)

    def publish_same(self) -> None:
        """somebody publishes the same bytes under one of the names"""
        self._plant(None, last=True)

    def publish_same_first(self) -> None:
        """somebody publishes the same bytes under the first of the names"""
        self._plant(None, last=False)

    def publish_extra(self) -> None:
        """somebody adds a file of this version to a registry"""
        publication = self.stage.manifest.publications[-1]
        registry = self.world.registries[publication.registry]
        registry.plant(publication.package, publication.version, "extra-1.2.0.bin", b"extra")

    def take_down(self) -> None:
        """a registry removes the first file of this release that it has"""
        for registry in self.world.registries.values():
            for there in registry.taken[:1]:
                registry.take_down(there.name)

    def freeze(self) -> None:
        """the release is frozen"""
        self.forge.freezes.append(Freeze("", "wait", "maintainer-0", self.world.clock.time))

    def thaw(self) -> None:
        """every freeze is lifted"""
        self.forge.freezes.clear()

    def freeze_for_an_hour(self) -> None:
        """all releases are frozen for an hour"""
        self.freeze()
        self.world.clock.later(3600, self.thaw)

    def leave_ghost(self) -> None:
        """the next upload of the first file breaks off half-way"""
        self.forge.ghosts.add(self.stage.shape.files[0].name)

    def make_public(self) -> None:
        """a stranger makes the draft public"""
        for held in self._releases()[:1]:
            self.forge.undraft(held)

    def _decide(self, decision: Decision) -> None:
        from tests.simulation.stage import MAINTAINERS, approval

        record, person = approval(self.stage.manifest, decision), MAINTAINERS[-1]
        name = asset_name(record, person)
        for held in self._releases():
            if name not in self._names(held):
                self.forge.put(held, name, record.canonical(), person)

    def _releases(self) -> list[int]:
        return sorted(self.forge.held)

    def _names(self, release: int) -> list[str]:
        return [a.name for a, _ in self.forge.held[release].assets.values()]

    def _assets(self) -> list[tuple[int, str]]:
        return [(r, n) for r in self._releases() for n in self._names(r)]

    def _first(self) -> Account:
        from tests.simulation.stage import MAINTAINERS

        return self.forge.accounts[MAINTAINERS[0].id]

    def _plant(self, data: bytes | None, *, last: bool) -> None:
        from tests.engine.scene import content

        publication = self.stage.manifest.publications[-1 if last else 0]
        name = publication.files[-1 if last else 0]
        registry = self.world.registries[publication.registry]
        artifact = next(a for a in self.stage.manifest.artifacts if a.name == name)
        there = registry.file_name(publication.package, publication.version, artifact)
        if (publication.package, there) not in ((t.package, t.name) for t in registry.taken):
            registry.plant(publication.package, publication.version, there, content(name) if data is None else data)


MOVES: Mapping[str, Callable[[Moves], None]] = {
    name: method for name, method in vars(Moves).items() if callable(method) and not name.startswith("_")
}
