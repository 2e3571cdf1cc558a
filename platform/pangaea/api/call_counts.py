"""The calls of versions of the API, by day, route and caller: a table in each module's schema.

`pangaea.api.call_counting` fills it. It answers who still calls a version that is to be removed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from django.conf import settings
from django.db import connections, models
from django.db.models import Max, QuerySet, Sum
from django.utils import timezone

ANONYMOUS = "anonymous"
"""The subject of calls without a valid access token."""
OTHERS = "others"
"""The subject of calls whose callers were too many for the process to count one by one."""
ROWS_PER_STATEMENT = 500
ROWS_PER_DELETION = 1_000


class ApiCalls(models.Model):
    """How often a caller called a route on a day, in UTC. `subject` is that of the access token."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    version = models.CharField(max_length=16)
    route = models.CharField(max_length=255)
    subject = models.CharField("caller", max_length=64)
    calls = models.BigIntegerField()

    class Meta:
        db_table = "pangaea_api_calls"
        verbose_name_plural = "API calls"
        constraints = [
            # The subject comes first: the rows of an account are found by it.
            models.UniqueConstraint(fields=["subject", "route", "day"], name="pangaea_api_calls_once"),
        ]
        indexes = [models.Index(fields=["day"], name="pangaea_api_calls_day")]

    def __str__(self) -> str:
        return f"{self.calls} of {self.route} by {self.subject}"


@dataclass(frozen=True, slots=True, order=True)
class Called:
    """What is counted: one caller's calls of a route on one day."""

    subject: str
    route: str
    day: date
    version: str


@dataclass(frozen=True, slots=True)
class CallsOf:
    """A caller's calls of a route over a time, and the last day with one."""

    version: str
    route: str
    subject: str
    calls: int
    last: date


def add(module: str, counts: Mapping[Called, int]) -> None:
    """Add these numbers to those in the module's schema, at most ROWS_PER_STATEMENT, in one statement.

    Rows are written in one order everywhere, so that two processes cannot deadlock.
    """
    rows = [(each.subject, each.route, each.day.isoformat(), each.version, counts[each]) for each in sorted(counts)]
    values = ", ".join(["(%s, %s, %s, %s, %s)"] * len(rows))
    with connections[module].cursor() as cursor:
        cursor.execute(
            # Only placeholders are formatted into it.
            f"INSERT INTO pangaea_api_calls (subject, route, day, version, calls) VALUES {values} "  # noqa: S608
            "ON CONFLICT (subject, route, day) DO UPDATE SET calls = pangaea_api_calls.calls + excluded.calls",
            [value for row in rows for value in row],
        )


def prune(module: str) -> int:
    """Delete rows of days that ended API_CALLS_RETENTION ago, some at a time. Returns how many were deleted."""
    retention: timedelta = settings.PANGAEA.api_calls_retention
    rows = ApiCalls.objects.using(module)
    old = rows.filter(day__lt=(timezone.now() - retention).date()).order_by("id").values_list("pk", flat=True)
    total = 0
    while ids := list(old[:ROWS_PER_DELETION]):
        deleted, _ = rows.filter(pk__in=ids).delete()
        total += deleted
    return total


def calls_of(module: str, *, since: date, version: str | None = None) -> list[CallsOf]:
    """Each caller's calls since this day, those with most calls first; of one version, or of all."""
    rows = _since(module, since)
    if version is not None:
        rows = rows.filter(version=version)
    found = rows.values("version", "route", "subject").annotate(total=Sum("calls"), last=Max("day"))
    return [
        CallsOf(row["version"], row["route"], row["subject"], row["total"], row["last"])
        for row in found.order_by("-total", "route", "subject")
    ]


def calls_by_version(module: str, *, since: date) -> dict[str, int]:
    """The number of calls of each version since this day."""
    return dict(_since(module, since).values_list("version").annotate(Sum("calls")).order_by("version"))


def _since(module: str, day: date) -> "QuerySet[ApiCalls]":
    return ApiCalls.objects.using(module).filter(day__gte=day)
