"""The admin's base classes for modules, and the admin of operators and groups.

A module's rows are in another database than the operators and the history of their changes. ModuleAdmin keeps both
consistent; register a module's models with it (or ReadOnlyAdmin) and `django.contrib.admin.register`.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin, TabularInline
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import DEFAULT_DB_ALIAS, models, router, transaction
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import ModelAdmin as UnfoldModelAdmin
from unfold.admin import TabularInline as UnfoldTabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from pangaea import text
from pangaea.errors import DomainError
from pangaea.ops.columns import Column, LinkColumn, MoneyColumn
from pangaea.ops.figures import Figure
from pangaea.ops.models import Operator

if TYPE_CHECKING:
    # Django's classes are generic for the type checker alone; unfold has no types.
    _Admin = ModelAdmin[Any]
    _Inline = TabularInline[Any, Any]
    _UserAdmin = UserAdmin[Operator]
else:
    _Admin, _Inline, _UserAdmin = UnfoldModelAdmin, UnfoldTabularInline, UserAdmin

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FILTERS = frozenset({"exact", "in", "isnull", "gt", "gte", "lt", "lte", "year", "month", "day", "id", "pk"})
"""The lookups that the filters beside a list append to a field's name."""


__all__ = ["Figure", "LinkColumn", "ModuleAdmin", "MoneyColumn", "ReadOnlyAdmin", "ReadOnlyInline"]


class ModuleAdmin(_Admin):
    """The admin of a model that lives in a module's database.

    Each submission of an operator is one transaction in the module's database, so forms and actions may call the
    module's commands unchanged. A DomainError undoes all of it and is shown as a message. The history of the change, in
    `default`, is written only if the change was committed.
    """

    icon: ClassVar[str] = "table_rows"
    """The Material symbol before the model's name in the sidebar."""

    def overview(self, request: HttpRequest) -> Iterable[Figure]:
        """The figures that the first page shows to operators who may view this model."""
        del request
        return ()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows = super().get_queryset(request)
        for each in {*self.get_list_display(request), *self.readonly_fields}:
            if isinstance(each, Column):
                rows = each.annotated(rows)
        return rows

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return self._as_one(
            request, lambda: super(ModuleAdmin, self).changeform_view(request, object_id, form_url, extra_context)
        )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return self._as_one(request, lambda: super(ModuleAdmin, self).delete_view(request, object_id, extra_context))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._check_selection(request)
        return self._as_one(request, lambda: super(ModuleAdmin, self).changelist_view(request, extra_context))

    def _check_selection(self, request: HttpRequest) -> None:
        """Raise SuspiciousOperation, which is answered with 400, if a selected key cannot be one of this model."""
        for each in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(each)
            except ValidationError as error:
                raise SuspiciousOperation("A selected row is none of this model.") from error
            if "\0" in each:
                raise SuspiciousOperation("A selected row is none of this model.")

    def formfield_for_dbfield(self, db_field: "models.Field[Any, Any]", request: HttpRequest, **options: Any) -> Any:
        """The form's field. Text that the model's own validators let through must be such as people can read."""
        field = super().formfield_for_dbfield(db_field, request, **options)
        is_checked = any(each in (text.validate_name, text.validate_prose) for each in db_field.validators)
        if (
            isinstance(db_field, (models.CharField, models.TextField))
            and isinstance(field, forms.CharField)
            and not is_checked
        ):
            is_line = isinstance(field.widget, forms.TextInput)
            field.validators.append(text.validate_name if is_line else text.validate_prose)
        return field

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        """Search in the spelling in which text is stored."""
        return super().get_search_results(request, queryset, text.composed(search_term))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Whether a list may be filtered by this lookup: only if `list_filter` or `date_hierarchy` names its field.

        Django allows every column of the model. An operator who may only view could then use
        `?password_hash__startswith=` to find out, character by character, what no page shows.
        """
        del value
        name, *parts = lookup.split(LOOKUP_SEP)
        return name in self._filtered_by(request) and FILTERS.issuperset(parts)

    def _filtered_by(self, request: HttpRequest) -> set[str | None]:
        found: set[str | None] = {self.date_hierarchy}
        for each in self.get_list_filter(request):
            if isinstance(each, str):
                found.add(each)
            elif isinstance(each, (list, tuple)):
                found.add(str(each[0]))
            else:
                found.add(getattr(each, "parameter_name", None))
        return found

    def _as_one(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        if request.method in SAFE_METHODS:
            return view()
        module = router.db_for_write(self.model)
        try:
            # The module commits first. If its commit fails, `default` keeps no history of a change that was not made.
            with transaction.atomic(using=DEFAULT_DB_ALIAS), transaction.atomic(using=module):
                return view()
        except DomainError as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


class ReadOnlyAdmin(ModuleAdmin):
    """Shows rows that only commands, handlers or the kernel may write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyInline(_Inline):
    """A read-only table of an aggregate's parts on its page. Set `model` and `fields`."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Operator)
class OperatorAdmin(_UserAdmin, ModuleAdmin):
    icon = "badge"
    # The two lists of permissions side by side need the width that labels would take.
    compressed_fields = False
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "first_name", "last_name", "is_active", "is_superuser", "last_login")


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModuleAdmin):
    icon = "group"
    compressed_fields = False
