"""The WSGI application, which `manage.py web` serves, in the monolith's profile unless the environment names one."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application

from pangaea.api.encodings import DECLARED_CONTENT_TYPE
from pangaea.databases import entries

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pangaea.settings.monolith")

_django = get_wsgi_application()
entries.limit_waits()

LONGEST_CONTENT_TYPE = 256


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Django's application, with two corrections that no middleware can make.

    Django decodes the query string by the Content-Type's charset while it builds the request, so that `charset=idna`
    causes a bare 500. Therefore the charset is removed, and all requests are read as UTF-8; the parser of bodies
    refuses another. The answer to a HEAD request has no body, because the server would drop the body with a warning
    each time.
    """
    if content_type := environ.get("CONTENT_TYPE"):
        environ[DECLARED_CONTENT_TYPE] = content_type[:LONGEST_CONTENT_TYPE]
        environ["CONTENT_TYPE"] = without_charset(content_type)
    response = _django(environ, start_response)
    if environ["REQUEST_METHOD"] != "HEAD":
        return response
    response.close()
    return []


def without_charset(content_type: str) -> str:
    """The header without parameters other than its boundary."""
    kind, *parameters = content_type[:LONGEST_CONTENT_TYPE].split(";")
    return ";".join([kind, *(each for each in parameters if each.strip().lower().startswith("boundary="))])
