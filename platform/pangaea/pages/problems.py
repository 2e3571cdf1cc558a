"""The page at a problem's `type`: `/problems/<code>`."""

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path

from pangaea.api import problem_types
from pangaea.api.read_only import read_only
from pangaea.pages import layout

PREFIX = "/problems/"


@read_only
def page(request: HttpRequest, code: str) -> HttpResponse:
    """What the code means, and what a client does about it. 404 for a code that no answer of this process has."""
    explained = problem_types.explain(code)
    if explained is None:
        raise Http404
    document = explained.as_dict()
    content = {"problem": document, "explanation": layout.prose(document["explanation"])}
    return layout.answer(request, "problem", content, document)


patterns: list[URLPattern] = [path(f"{PREFIX.removeprefix('/')}<slug:code>", page, name="problem")]
