"""One module, or a few, as a deployment of their own: PANGAEA_MODULES names them. The code is the monolith's."""

from pangaea.settings.django import compose

globals().update(compose("service"))
