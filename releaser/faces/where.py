"""Which repository on the forge a command is about, when no checkout is needed for anything else."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from releaser.errors import ConfigError


def repository(options: argparse.Namespace) -> str:
    """``--repository``, else the job's, else the origin of the checkout here; raises ConfigError otherwise."""
    named: str = options.repository or os.environ.get("GITHUB_REPOSITORY") or ""
    if named:
        return named
    from releaser.inspect.repository import Repository

    try:
        origin, why = Repository(Path()).remote_repository(), "no origin of the form OWNER/NAME here"
    except ConfigError as error:
        origin, why = None, error.message
    if origin is None:
        raise ConfigError(
            "repository-unknown",
            "the repository on the forge is not known",
            object=str(Path.cwd()),
            found=f"no --repository, no GITHUB_REPOSITORY, {why}",
            wanted="OWNER/NAME",
            hint="add --repository OWNER/NAME",
        )
    return origin
