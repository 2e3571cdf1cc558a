"""docs/openapi.yaml: the API of the whole system, whichever way it is deployed."""

from pathlib import Path
from typing import Any

import yaml

from pangaea.api.openapi import document
from pangaea.errors import Misconfigured

HEADER = """\
# The API of the whole system, whichever way it is deployed: OpenAPI 3.1, rendered from the code.
# Edit that and run `python manage.py render`. Each service serves its own part at /api/schema/<module>/.

"""


def files(root: Path) -> dict[Path, str]:
    """The document. Raises Misconfigured with the generator's warnings, if there are any."""
    built, doubts = document.build()
    if doubts:
        raise Misconfigured(
            "The API document cannot be generated without warnings:\n  - " + "\n  - ".join(map(str, doubts))
        )
    text = yaml.dump(built, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return {root / "docs" / "openapi.yaml": HEADER + text}


class _Dumper(yaml.SafeDumper):
    """Repeats shared parts instead of using aliases, and writes subclasses of str and dict like str and dict."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_multi_representer(str, lambda dumper, text: dumper.represent_str(str(text)))
_Dumper.add_multi_representer(dict, lambda dumper, mapping: dumper.represent_dict(dict(mapping).items()))
