"""The frame of a page, its policy, and the choice between HTML and JSON.

A page consists of one file, with its style and its script: a gateway can serve it, and it works where every other
part of the system is down. The policy allows exactly these two, by their hashes.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from pangaea.api import cache_control
from pangaea.api.content_security import HEADER

HTML, JSON = "text/html; charset=utf-8", "application/json"
_FOLDER = Path(__file__).resolve().parent.parent / "templates" / "pangaea"
_STYLE = (_FOLDER / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_FOLDER / "page.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of a page."""


def html(template: str, content: Mapping[str, Any]) -> str:
    """The page as HTML. Its text is the same for every request."""
    # The project's own files: nothing of a request is in them.
    files = {"style": mark_safe(_STYLE), "script": mark_safe(_SCRIPT)}  # noqa: S308
    lines = render_to_string(f"pangaea/{template}.html", {**content, **files}).splitlines()
    # A template's tags leave empty lines.
    return "".join(f"{line.rstrip()}\n" for line in lines if line.strip())


def text(document: Mapping[str, Any]) -> str:
    """The page's content as JSON."""
    return json.dumps(document, indent=2) + "\n"


def prose(text: str) -> str:
    """HTML of a text in which names of members and headers are between backticks."""
    parts = enumerate(text.split("`"))
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if number % 2 else part,) for number, part in parts)
    )


def answer(
    request: HttpRequest, template: str, content: Mapping[str, Any], document: Mapping[str, Any]
) -> HttpResponse:
    """HTML for a client whose Accept names it, as browsers do; JSON for all others. A gateway does the same."""
    is_html = "text/html" in request.headers.get("Accept", "")
    body, kind = (html(template, content), HTML) if is_html else (text(document), JSON)
    response = HttpResponse(body, content_type=kind, headers={HEADER: POLICY, cache_control.HEADER: cache_control.PAGE})
    patch_vary_headers(response, ["Accept"])
    return response
