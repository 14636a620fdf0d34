"""Release orchestration with approval gates: one version, every registry, exactly the approved bytes."""
