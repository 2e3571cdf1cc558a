"""One process on a laptop: SQLite files, a bus in process, generated keys. Nothing to install or configure."""

from pangaea.settings.django import compose

globals().update(compose("local"))
