"""Where `make` puts what the suite uses and the repository does not hold."""

from pathlib import Path

DOWNLOADS = Path(__file__).parent.parent / ".downloads"
SERVERS = Path(__file__).parent.parent / ".servers"
