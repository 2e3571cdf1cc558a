"""The page of streams, and the page on which an operator resumes a stopped subscription."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from pangaea import modules
from pangaea.errors import Invalid, NotFound
from pangaea.health import concerns, states, stream_status
from pangaea.health.stream_status import ModuleStatus
from pangaea.health.tables import of_queues, of_streams, of_subscribers, of_subscriptions
from pangaea.inbox import resuming
from pangaea.inbox.subscriptions import Subscription
from pangaea.ops import tables
from pangaea.ops.admin import Figure, ReadOnlyAdmin
from pangaea.outbox.models import Stream

LIST, RESUME = "pangaea_stream_changelist", "pangaea_stream_resume"
TABLES = (
    ("Publishes", of_streams),
    ("Subscribes to", of_subscriptions),
    ("Subscribers", of_subscribers),
    ("Queues", of_queues),
)
LEGENDS = (
    ("Streams", states.STREAMS),
    ("Subscriptions", states.SUBSCRIPTIONS),
    ("Queues", states.QUEUES),
)
INCOMPLETE = "Choose where it goes on, give the reason, and tick the box if it begins at the start."
HOWS: tuple[resuming.How, ...] = ("head", "start")


@admin.register(Stream)
class StreamAdmin(ReadOnlyAdmin):
    """One page for the streams and cursors of all modules. A row has no page: each module has its own table of them."""

    icon = "waves"

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return [
            path("", self.admin_site.admin_view(self.changelist_view), name=name),
            path("<str:subscription>/resume/", self.admin_site.admin_view(self.resume_view), name=RESUME),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        statuses = stream_status.read_all(modules.installed())
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "title": "Streams",
            "concerns": concerns.of(statuses),
            "links": [*self._resumable(request, statuses), *_parked(statuses)],
            "modules": [
                {
                    "status": status,
                    "tables": [(title, tables.of(table(status))) for title, table in TABLES],
                    "resumptions": tables.of_resumptions(status),
                }
                for status in statuses
            ],
            "legends": [(title, tables.legend(found)) for title, found in LEGENDS],
        }
        return TemplateResponse(request, "ops/streams.html", context)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        """An operator who may change cursors may resume a subscription."""
        return bool(request.user.has_perm("pangaea.change_cursor"))

    def resume_view(self, request: HttpRequest, subscription: str) -> HttpResponse:
        """Show the plans to resume at the head and at the start; carry one out once it is confirmed with a reason."""
        if not self.has_resume_permission(request):
            raise PermissionDenied
        try:
            stopped = resuming.named(subscription)
            plans = {how: resuming.plan(stopped, how) for how in HOWS}
            done, mistake = self._resume(request, stopped)
            if done is not None:
                self.message_user(request, f"{done} It begins within ANNOUNCE_AT_MOST.", messages.SUCCESS)
                return HttpResponseRedirect(reverse(f"admin:{LIST}"))
        except NotFound as error:
            raise Http404 from error
        except resuming.Refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(reverse(f"admin:{LIST}"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Resume {subscription}",
            "opts": self.opts,
            "plans": plans,
            "asked": request.POST,
            "mistake": mistake,
        }
        return TemplateResponse(request, "ops/resume.html", context)

    def _resume(self, request: HttpRequest, subscription: Subscription) -> tuple[resuming.Plan | None, str]:
        """Resume. Returns the plan; or None, and what is wrong with the form.

        To resume at the start, the operator must also tick a box: the subscription repeats its effects.
        """
        if "confirmed" not in request.POST:
            return None, ""
        how, reason = request.POST.get("how"), request.POST.get("reason", "")
        chosen = next((each for each in HOWS if each == how), None)
        if chosen is None or not reason.strip() or (chosen == "start" and "repeats" not in request.POST):
            return None, INCOMPLETE
        try:
            return resuming.resume(subscription, chosen, reason=reason, by=request.user.get_username()), ""
        except Invalid as error:
            return None, error.message

    def _resumable(self, request: HttpRequest, statuses: Sequence[ModuleStatus]) -> list[tuple[str, str]]:
        if not self.has_resume_permission(request):
            return []
        found = [each.name for status in statuses for each in status.subscriptions if each.may_resume]
        return [(f"Resume {name}", reverse(f"admin:{RESUME}", args=[name])) for name in found]

    def overview(self, request: HttpRequest) -> Iterator[Figure]:
        """What waits for a person, what waits to be sent, and the lag."""
        del request
        statuses = stream_status.read_all(modules.installed())
        page, found = reverse(f"admin:{LIST}"), concerns.of(statuses)
        yield Figure("Waits for a person", len(found), url=page, state=states.worst(statuses) if found else None)
        yield Figure("Messages to be sent", sum(each.backlog for each in statuses), url=page)
        yield Figure("Lag of subscriptions", sum(each.lag for each in statuses), url=page)


def _parked(statuses: Sequence[ModuleStatus]) -> list[tuple[str, str]]:
    found = [each for each in statuses if each.parked]
    return [
        (f"Dead letters of {each.label}", reverse("admin:pangaea_deadletter_module", args=[each.label]))
        for each in found
    ]
