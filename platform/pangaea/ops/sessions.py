"""The operators' sessions, which are rows of `default`, while the database cannot read or save them."""

from http import HTTPStatus

from django.contrib.sessions import middleware
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import Error
from django.http import HttpRequest, HttpResponse

from pangaea.api import fallback
from pangaea.databases.errors import is_transient


class SessionMiddleware(middleware.SessionMiddleware):
    """Django's, but a session that cannot be saved at the moment is answered with 503.

    Django takes every error of the database for a session that was deleted, and answers 400. It also saves a session
    that the request has not used, so that an operator's requests to an API would need the database of the operators.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not request.session.accessed:
            return response
        try:
            return super().process_response(request, response)
        except (Error, SessionInterrupted) as error:
            cause = _transient_cause(error)
            if cause is None:
                raise
            if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return response  # it answers the same failure
            return fallback.answer(cause, request) or response


def _transient_cause(error: Exception) -> Exception | None:
    """The transient error that this one was raised after, or itself."""
    cause: BaseException | None = error
    while isinstance(cause, Exception) and not is_transient(cause):
        cause = cause.__context__
    return cause if isinstance(cause, Exception) else None
