"""``python -m releaser``."""

from releaser.faces.cli import main

raise SystemExit(main())
