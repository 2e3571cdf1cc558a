"""The operators' log-in and the change of their own password, whose attempts are counted and slowed down."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.forms import AdminPasswordChangeForm as DjangoPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.sites import UnfoldAdminSite

from pangaea.api import problems
from pangaea.api.problems import Problem
from pangaea.errors import PangaeaError
from pangaea.identity import password_attempts
from pangaea.identity.password_attempts import Attempt

if TYPE_CHECKING:
    # unfold has no types.
    _LogInForm = AdminAuthenticationForm
    _PasswordChangeForm = DjangoPasswordChangeForm
else:
    _LogInForm, _PasswordChangeForm = AuthenticationForm, AdminOwnPasswordChangeForm

PURPOSE = "operator"


class LogInForm(_LogInForm):
    """Shows the reason why a log-in has to wait among the form's errors."""

    problem: Problem | None = None

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name is None or not password or self.request is None:
            return super().clean()
        with _tried(self, self.request, account=name) as attempt:
            cleaned = super().clean()
            attempt.accept()
        return cleaned


class PasswordChangeForm(_PasswordChangeForm):
    """Counts attempts at the current password too, so that it cannot be guessed with a stolen session."""

    problem: Problem | None = None

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = request

    def clean_old_password(self) -> str:
        name = self.user.get_username()
        with _tried(self, self._request, account=name) as attempt:
            password: str = super().clean_old_password()
            attempt.accept()
        return password


class OperatorsSite(UnfoldAdminSite):  # type: ignore[misc] # unfold has no types
    """The admin site with these forms. An attempt that has to wait is answered with 429 and `Retry-After`."""

    login_form = LogInForm
    index_template = "ops/overview.html"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return _with_status(super().login(request, extra_context))

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        request.current_app = self.name
        view = PasswordChangeView.as_view(
            form_class=partial(PasswordChangeForm, request=request),
            success_url=reverse(f"{self.name}:password_change_done", current_app=self.name),
            template_name=self.password_change_template or PasswordChangeView.template_name,
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return _with_status(view(request))


@contextmanager
def _tried(form: LogInForm | PasswordChangeForm, request: HttpRequest, *, account: str) -> Iterator[Attempt]:
    """Count an attempt. A refusal to try it becomes an error of the form."""
    try:
        with password_attempts.counted(PURPOSE, account=account, request=request) as attempt:
            yield attempt
    except (PangaeaError, DatabaseError) as refusal:
        form.problem = problems.problem_of(refusal, request)
        if form.problem is None:
            raise
        raise ValidationError(form.problem.detail, code=form.problem.code) from refusal


def _with_status(response: HttpResponseBase) -> HttpResponse:
    """The response with the status and the headers of the form's problem, where it has one."""
    form = (response.context_data or {}).get("form") if isinstance(response, TemplateResponse) else None
    problem: Problem | None = getattr(form, "problem", None)
    if problem is not None:
        response.status_code = problem.status
        for name, value in problem.headers.items():
            response.headers[name] = value
    return cast("HttpResponse", response)
