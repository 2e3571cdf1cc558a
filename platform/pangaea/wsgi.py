"""The WSGI application: `manage.py web` serves it. The monolith's profile, unless the environment names another."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application

from pangaea.databases import entries

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pangaea.settings.monolith")

_django = get_wsgi_application()
entries.limit_waits()

LONGEST_CONTENT_TYPE = 256


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Django, relieved of two things that nothing inside it can catch.

    A charset in the Content-Type decides how the query string is decoded while Django builds the request, and
    `charset=idna` is enough for a bare 500. All that we take is UTF-8, whatever it claims. And a HEAD request gets no
    body, which the server would drop with a warning each time.
    """
    if content_type := environ.get("CONTENT_TYPE"):
        environ["CONTENT_TYPE"] = without_charset(content_type)
    response = _django(environ, start_response)
    if environ["REQUEST_METHOD"] != "HEAD":
        return response
    response.close()
    return []


def without_charset(content_type: str) -> str:
    """The header with its boundary as the only parameter."""
    kind, *parameters = content_type[:LONGEST_CONTENT_TYPE].split(";")
    return ";".join([kind, *(each for each in parameters if each.strip().lower().startswith("boundary="))])
