"""Looking at the world: what registries would object to."""

from __future__ import annotations

from releaser.engine import survey
from releaser.engine.ports import RepositoryFacts
from releaser.model.artifact import Kind
from releaser.model.manifest import Person, PlannedPublication
from tests.cases import file
from tests.world import World


def test_two_files_that_a_registry_lists_under_one_name_are_objected_to() -> None:
    """One of them would be published and the other one refused, after the first write and by chance."""
    world = World(RepositoryFacts(7, "harbor/cog", "main"), Person(id=1, login="pipeline[bot]"))
    files = [file(name, Kind.CRATE, "coglet", "1.2.0") for name in ("coglet-1.2.0.crate", "coglet-again.crate")]
    names = tuple(f.artifact.name for f in files)
    target = PlannedPublication(
        id="crate", registry="crates.io", package="coglet", version="1.2.0", files=names, wave=1
    )
    (objection,) = survey.objections(world.registries, [target], files)
    assert (objection.publication, objection.artifact) == ("crate", "coglet-again.crate")
    assert objection.found == "coglet-1.2.0.crate, as which crates.io lists coglet-1.2.0.crate too"
    alone = target.model_copy(update={"files": names[:1]})
    assert survey.objections(world.registries, [alone], files) == ()
