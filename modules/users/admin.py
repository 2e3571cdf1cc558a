"""Accounts in the admin, to look up and to deactivate. Only its owner changes an account's data."""

from collections.abc import Iterator
from contextlib import suppress

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from modules.users import commands, queries
from modules.users.models import Account
from modules.users.rules import emails
from pangaea.modules import Plan
from pangaea.ops.admin import Figure, ReadOnlyAdmin


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    icon = "person"
    list_display = ("email", "full_name", "plan", "status", "registered_at")
    list_filter = ("plan", "status")
    search_fields = ("email", "full_name")
    ordering = ("-registered_at",)
    fields = ("id", "email", "full_name", "plan", "status", "registered_at", "changed_at", "deactivated_at")
    actions = ("give_plan_pro", "give_plan_free", "deactivate")
    show_full_result_count = False

    def overview(self, request: HttpRequest) -> Iterator[Figure]:
        today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        url = reverse("admin:users_account_changelist")
        yield Figure("Registrations today", queries.registrations_since(today), url=url)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Account], search_term: str
    ) -> tuple[QuerySet[Account], bool]:
        """Find an address in any of its spellings."""
        with suppress(ValidationError):
            search_term = emails.normalised(search_term)
        return super().get_search_results(request, queryset, search_term)

    @admin.action(description="Deactivate, for good", permissions=["deactivate"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Deactivate all selected accounts or none, in the order of their ids, so that operators cannot deadlock."""
        done = 0
        accounts = list(queryset.order_by("id"))
        for account in accounts:
            if commands.deactivate_account(account_id=account.id, proof=None):
                self.log_change(request, account, "Deactivated.")
                done += 1
        self.message_user(request, f"{done} deactivated; {len(accounts) - done} were already.", messages.SUCCESS)

    @admin.action(description="Plan: pro", permissions=["change_plan"])
    def give_plan_pro(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        self._change_plan(request, queryset, Plan.PRO)

    @admin.action(description="Plan: free", permissions=["change_plan"])
    def give_plan_free(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        self._change_plan(request, queryset, Plan.FREE)

    def _change_plan(self, request: HttpRequest, queryset: QuerySet[Account], plan: Plan) -> None:
        """Change all selected active accounts, in the order of their ids. Their next access tokens have the plan."""
        accounts = [account for account in queryset.order_by("id") if account.is_active]
        changed = 0
        for account in accounts:
            if commands.change_plan(account_id=account.id, plan=plan):
                self.log_change(request, account, f"Plan: {plan}.")
                changed += 1
        self.message_user(
            request,
            f"{changed} changed to {plan}, from the next access token on; {len(accounts) - changed} had it.",
            messages.SUCCESS,
        )

    def has_change_plan_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("users.change_account")

    def has_deactivate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("users.change_account")
