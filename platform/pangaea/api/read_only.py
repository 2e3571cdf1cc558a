"""Views outside DRF that only read."""

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

View = TypeVar("View", bound=Callable[..., HttpResponse])


def read_only(view: View) -> View:
    """Answer any method but GET and HEAD with 405, also where Django would first miss a CSRF token."""
    return csrf_exempt(require_safe(view))
