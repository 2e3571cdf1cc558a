"""The pages of parked messages: the counts of all modules, the list of one module with its actions, and one letter.

These pages only request a redrive. The module's worker executes it, in key order, so that a slow handler, or one that
crashes its process, runs in a worker as always.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.views import ChangeList

from pangaea import modules, text
from pangaea.databases.errors import reason_of
from pangaea.errors import Invalid
from pangaea.health import missing_processes, states
from pangaea.health.states import Shown
from pangaea.inbox.dead_letters import discarding, display, redrive
from pangaea.inbox.dead_letters.selection import Selection
from pangaea.inbox.models import DeadLetter
from pangaea.ops import tables
from pangaea.ops.admin import Figure, ReadOnlyAdmin

NAME = "pangaea_deadletter"


class LetterList(ChangeList):  # type: ignore[misc] # unfold has no types
    """A list whose rows link to the letters of its own module."""

    def url_for_result(self, result: DeadLetter) -> str:
        return reverse(f"admin:{NAME}_letter", args=[result._state.db, result.pk])


class ModuleLetters(ReadOnlyAdmin):
    """The parked messages of one module."""

    list_display = (
        "name",
        "key",
        "subscription",
        "position",
        "shown_state",
        "attempts",
        "next_attempt_at",
        "what_failed",
    )
    list_filter = ("state", "subscription", "name")
    search_fields = ("key", "error", "name")
    actions = ("redrive", "discard")
    ordering = ("subscription", "source", "audience", "partition", "key", "position")
    list_per_page = 50

    def __init__(self, site: AdminSite, module: str) -> None:
        super().__init__(DeadLetter, site)
        self.module = module

    def get_queryset(self, request: HttpRequest) -> "QuerySet[DeadLetter]":
        return DeadLetter.objects.using(self.module).order_by(*self.ordering)

    def get_changelist(self, request: HttpRequest, **_options: Any) -> type[ChangeList]:
        return LetterList

    def has_redrive_permission(self, request: HttpRequest) -> bool:
        """An operator who may change letters may redrive them."""
        return bool(request.user.has_perm("pangaea.change_deadletter"))

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """An operator who may delete letters may discard them."""
        return bool(request.user.has_perm("pangaea.delete_deadletter"))

    @admin.display(description="error")
    def what_failed(self, letter: DeadLetter) -> str:
        """The first line of the letter's error. A letter that is behind another has none."""
        return text.escaped(letter.error.partition("\n")[0][:120]) or "-"

    @admin.display(description="state", ordering="state")
    def shown_state(self, letter: DeadLetter) -> SafeString:
        """The state in its colour."""
        return tables.label(states.of_letter(letter.state, letter.parked_at))

    @admin.action(description="Redrive: try again, in the order of the keys", permissions=["redrive"])
    def redrive(self, request: HttpRequest, letters: "QuerySet[DeadLetter]") -> HttpResponse | None:
        """Request a redrive, once the operator has confirmed it."""
        if "confirmed" not in request.POST:
            return self._confirm(request, letters, "redrive", "Redrive")
        for letter in letters:
            self.log_change(request, letter, "Redrive requested.")
        count = redrive.request(self._selected(letters))
        done = f"The worker will redrive {_counted(count, 'key')}." if count else ""
        self._report(request, done, "Nothing will be redriven")
        if count and (missing := missing_processes.for_worker(self.module)) and not settings.PANGAEA_IN_PROCESS:
            self.message_user(request, missing, messages.WARNING)
        return None

    @admin.action(description="Discard: never apply", permissions=["discard"])
    def discard(self, request: HttpRequest, letters: "QuerySet[DeadLetter]") -> HttpResponse | None:
        """Discard the letters, once the operator has confirmed it and given a reason."""
        if "confirmed" not in request.POST:
            return self._confirm(request, letters, "discard", "Discard")
        try:
            reason = discarding.checked_reason(request.POST.get("reason", ""))
        except Invalid as refusal:
            return self._confirm(request, letters, "discard", "Discard", refusal=refusal.message)
        chosen = self._selected(letters)
        for letter in letters:
            self.log_change(request, letter, f"Discarded: {reason}")
        count = discarding.discard(chosen, reason=reason, by=request.user.get_username())
        self._report(request, f"{_counted(count, 'message')} discarded." if count else "", "Nothing was discarded")
        return None

    def letter_view(self, request: HttpRequest, letter_id: int) -> HttpResponse:
        """One letter with its traceback and its body."""
        letter = self.get_queryset(request).filter(pk=letter_id).first()
        if letter is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": f"{letter.name} at {letter.position}",
            "opts": self.opts,
            "letter": letter,
            "state": tables.label(shown := states.of_letter(letter.state, letter.parked_at)),
            "meaning": shown.state.meaning,
            "facts": _facts(letter),
            "error": text.escaped(letter.error, lines=True),
            "traceback": text.escaped(letter.traceback, lines=True),
            "message": display.body_of(letter, at_most=display.PAGE_LENGTH),
            "links": self._links(letter),
            "list_url": reverse(f"admin:{NAME}_module", args=[self.module]),
            "may_redrive": self.has_redrive_permission(request),
            "may_discard": self.has_discard_permission(request),
        }
        return TemplateResponse(request, "ops/dead_letter.html", context)

    def _links(self, letter: DeadLetter) -> list[tuple[str, str]]:
        letters, streams = (
            reverse(f"admin:{NAME}_module", args=[self.module]),
            reverse("admin:pangaea_stream_changelist"),
        )
        return [
            ("All of its key", f"{letters}?{urlencode({'q': letter.key})}"),
            ("All of its subscription", f"{letters}?{urlencode({'subscription__exact': letter.subscription})}"),
            ("All of its type", f"{letters}?{urlencode({'name__exact': letter.name})}"),
            (f"Streams of {self.module}", f"{streams}#{self.module}"),
        ]

    def _report(self, request: HttpRequest, done: str, nothing: str) -> None:
        if done:
            self.message_user(request, done, messages.SUCCESS)
        else:
            reason = "what you selected has been applied or discarded meanwhile"
            self.message_user(request, f"{nothing}: {reason}.", messages.WARNING)

    def _selected(self, letters: "QuerySet[DeadLetter]") -> Selection:
        return Selection(module=self.module, ids=tuple(letters.values_list("pk", flat=True)) or (0,))

    def _confirm(
        self,
        request: HttpRequest,
        letters: "QuerySet[DeadLetter]",
        action: str,
        title: str,
        *,
        refusal: str = "",
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{title} {_counted(letters.count(), 'message')}?",
            "opts": self.opts,
            "action": action,
            "button": title,
            "letters": [text.escaped(f"{each.subscription}, key {each.key}: {each}") for each in letters[:20]],
            "more": max(letters.count() - 20, 0),
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "across": request.POST.get("select_across", "0"),
            "checkbox": ACTION_CHECKBOX_NAME,
            "refusal": refusal,
        }
        return TemplateResponse(request, "ops/confirm_dead_letters.html", context)

    def _as_one(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        # Letters are taken one by one, each in a transaction of its own: one that fails must not undo the others.
        return view()


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    """The first page: every module, and how many messages it has parked."""

    icon = "unsubscribe"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name=f"{NAME}_changelist"),
            path("<str:module>/", view(self.module_view), name=f"{NAME}_module"),
            path("<str:module>/<int:letter_id>/", view(self.letter_view), name=f"{NAME}_letter"),
        ]

    def overview(self, request: HttpRequest) -> Iterator[Figure]:
        """The number of parked messages, with the worst of their states."""
        del request
        page, counts = reverse(f"admin:{NAME}_changelist"), Counter[str]()
        for module in modules.installed():
            counts.update(_counts(module.label))
        state = next((Shown(each) for each in states.of_letters(counts)), None)
        yield Figure("Dead letters", counts.total(), url=page, state=state)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._check(request)
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "title": "Dead letters",
            "modules": [_overview(module.label, str(module.verbose_name)) for module in modules.installed()],
        }
        return TemplateResponse(request, "ops/dead_letters.html", context)

    def module_view(self, request: HttpRequest, module: str) -> HttpResponse:
        """The list of one module."""
        title = f"Dead letters of {module}"
        return self._of(request, module).changelist_view(request, {"title": title})

    def letter_view(self, request: HttpRequest, module: str, letter_id: int) -> HttpResponse:
        """One letter of a module."""
        return self._of(request, module).letter_view(request, letter_id)

    def _of(self, request: HttpRequest, module: str) -> ModuleLetters:
        self._check(request)
        if module not in modules.labels():
            raise Http404
        return ModuleLetters(self.admin_site, module)

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _facts(letter: DeadLetter) -> list[tuple[str, object]]:
    facts = [
        ("letter", f"{letter._state.db}/{letter.pk}"),
        ("type", text.escaped(letter.name)),
        ("key", text.escaped(letter.key)),
        ("subscription", letter.subscription),
        ("stream", letter.stream_name),
        ("position", letter.position),
        ("correlation id", display.correlation_id_of(letter)),
        ("parked", letter.parked_at),
        ("attempts", letter.attempts),
        ("next attempt", letter.next_attempt_at),
    ]
    return [(name, value) for name, value in facts if value not in {None, ""}]


def _overview(label: str, title: str) -> dict[str, Any]:
    overview: dict[str, Any] = {"title": title, "url": reverse(f"admin:{NAME}_module", args=[label])}
    try:
        counts = _counts(label)
    except DatabaseError as error:
        return overview | {"unreadable": reason_of(error)}
    found = states.of_letters(counts)
    return overview | {"counts": [(counts[each.value], tables.label(each), each) for each in found]}


def _counts(label: str) -> dict[str, int]:
    """The number of the module's parked messages by state."""
    return dict(DeadLetter.objects.using(label).values_list("state").annotate(Count("id")).order_by("state"))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
