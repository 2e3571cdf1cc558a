"""System checks: the declarations of the modules must match before a process starts.

Modules that are not installed in this process are checked by their published schemas and contracts instead.
"""

import importlib.util
import inspect
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.utils.module_loading import import_string

from pangaea import modules
from pangaea.api import exposure, versioning
from pangaea.change_capture import Capture
from pangaea.databases import sequences, versions
from pangaea.inbox.rebuild.ownership import problems
from pangaea.inbox.subscriptions import Projection, Reaction, Subscription
from pangaea.messages import ALL, Command, Event, Message, check_wire_name, module_of
from pangaea.modules import ModuleConfig, Quota, Role, Scope

DATABASES = "pangaea_databases"
"""The tag of the checks of databases, which Django runs for the aliases that the caller names."""
Language = dict[str, type[Message]]
"""Message classes by wire name."""
RESERVED = {DEFAULT_DB_ALIAS: "the database of the operators", ALL: "the audience of events"}
"""Labels that no module may have, each with its meaning."""


def published_by(module: ModuleConfig) -> Language:
    """The messages that a module declares in its `messages.py`: its events, and the commands that it accepts."""
    return _declared_in(f"{module.name}.messages")


def sent_by(module: ModuleConfig) -> Language:
    """The commands to other modules that a module declares in its `acl.py`."""
    found = _declared_in(f"{module.name}.acl")
    return {name: kind for name, kind in found.items() if issubclass(kind, Command)}


def _declared_in(path: str) -> Language:
    if importlib.util.find_spec(path) is None:
        return {}
    found = inspect.getmembers(import_module(path), inspect.isclass)
    return {
        getattr(kind, "wire_name", name): kind
        for name, kind in found
        if issubclass(kind, (Event, Command)) and kind not in (Event, Command) and kind.__module__ == path
    }


@register("pangaea")
def check_modules(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check the modules' declarations: names, routes, views, subscriptions, captures, retention, scopes, commands."""
    del app_configs  # declarations are checked against each other
    published = {module.label: published_by(module) for module in modules.installed()}
    installed = modules.installed()
    errors: list[CheckMessage] = [*_check_routes(installed), *_check_quotas(installed), *exposure.mistakes(installed)]
    for module in modules.installed():
        errors += _check_label(module)
        errors += _check_names(module, published[module.label])
        subscriptions, unusable = _load_subscriptions(module)
        errors += unusable or _check_unnamed(module)
        errors += _check_migrations(module)
        for subscription in subscriptions:
            errors += _check_handlers(subscription, published)
        errors += _check_ownership(subscriptions)
        errors += _check_captures(module)
        errors += _check_retention(module)
        errors += _check_scopes(module)
        errors += versioning.mistakes(module)
        if not unusable:
            errors += _check_command_handlers(published[module.label], subscriptions)
        errors += _check_sent(module, published)
    return errors


@register(deploy=True)
def check_cache(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that a deployment whose routes have quotas counts them in one place (`manage.py check --deploy`)."""
    del app_configs
    limited = [route.path for module in modules.installed() for route in module.routes if route.quotas]
    if not limited or settings.PANGAEA.cache_url:
        return []
    text = f"Each web process counts the quotas of {', '.join(limited)} on its own: CACHE_URL is not set."
    hint = "Set CACHE_URL to a Redis that the web processes share, unless there is one process with one worker."
    return [checks.Warning(text, hint=hint, id="pangaea.W032")]


@register(DATABASES)
def check_databases(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[Error]:
    """Check the databases that the caller names: `manage.py check --database orders`. They must be as settings ask."""
    del app_configs
    errors = []
    for alias in databases or ():
        try:
            connections[alias].ensure_connection()
            late, unversioned = sequences.late(alias), versions.faults(alias)
        except DatabaseError as error:
            text = f"The database does not serve: {error}".strip()
            hint = "`manage.py migrate` creates the roles and schemas that are missing."
            errors.append(Error(text, hint=hint, obj=alias, id="pangaea.E022"))
            continue
        errors += [Error(each, hint=sequences.REMEDY, obj=alias, id="pangaea.E023") for each in late]
        errors += [Error(each, hint=versions.REMEDY, obj=alias, id="pangaea.E030") for each in unversioned]
    return errors


def _check_label(module: ModuleConfig) -> list[Error]:
    if module.label not in RESERVED:
        return []
    text = f"A module is called {module.label!r}, which has a meaning of its own: {RESERVED[module.label]}."
    return [Error(text, hint="Rename its folder and its label.", obj=module, id="pangaea.E019")]


def _check_routes(installed: Sequence[ModuleConfig]) -> list[Error]:
    """Each path is written as `Route` asks for it, and one module declares it."""
    errors: list[Error] = []
    owners: dict[str, str] = {}
    for module in installed:
        for route in module.routes:
            if not re.fullmatch(r"(/[^/\s]+)+", route.path):
                text = f"{module.label} declares the route {route.path!r}."
                hint = "A path begins with a slash and has none at its end, like /api/v1/bills."
                errors.append(Error(text, hint=hint, obj=module, id="pangaea.E020"))
            if (owner := owners.setdefault(route.path, module.label)) != module.label:
                text = f"The modules {owner!r} and {module.label!r} both declare the route {route.path!r}."
                errors.append(Error(text, hint="Choose another path.", obj=module, id="pangaea.E021"))
    return errors


def _check_quotas(installed: Sequence[ModuleConfig]) -> list[Error]:
    """Each quota is named after its module, and quotas of one name are one: they share a count."""
    errors = []
    for module in installed:
        known: dict[str, Quota] = {}
        for quota in (quota for route in module.routes for quota in route.quotas):
            if quota.name.partition(":")[0] != module.label:
                text = f"{module.label} declares the quota {quota.name!r}."
                hint = f"Name it {module.label}:<what_is_counted>, like {module.label}:changes_per_day."
                errors.append(Error(text, hint=hint, obj=module, id="pangaea.E031"))
            if known.setdefault(quota.name, quota) != quota:
                text = f"{module.label} declares two quotas of the name {quota.name!r}."
                hint = "Use one Quota object in all routes that share the count, or give one another name."
                errors.append(Error(text, hint=hint, obj=module, id="pangaea.E031"))
    return errors


def _check_names(module: ModuleConfig, published: Language) -> list[Error]:
    errors = []
    for name, kind in published.items():
        try:
            check_wire_name(name)
        except ValueError as error:
            errors.append(Error(str(error), obj=kind, id="pangaea.E001"))
        if module_of(name) != module.label:
            hint = f"Name it {module.label}.<what_happened>; a command to another module is declared in acl.py."
            errors.append(Error(f"{name} is declared by {module.label}.", hint=hint, obj=kind, id="pangaea.E002"))
    return errors


def _load_subscriptions(module: ModuleConfig) -> tuple[list[Subscription], list[Error]]:
    found, errors = [], []
    for path in module.subscriptions:
        try:
            subscription = import_string(path)
        except ImportError as error:
            errors.append(Error(f"{path} cannot be imported: {error}", obj=module, id="pangaea.E003"))
            continue
        if isinstance(subscription, Subscription) and subscription.module == module.label:
            found.append(subscription)
        else:
            hint = f"Name a Projection or a Reaction whose name begins with {module.label!r} by its dotted path."
            text = f"{path} is no subscription of {module.label}."
            errors.append(Error(text, hint=hint, obj=module, id="pangaea.E004"))
    return found, errors


def _check_unnamed(module: ModuleConfig) -> list[Error]:
    """Find subscriptions and captures that the module defines and does not declare: they would do nothing."""
    errors = []
    for part, kind, declared in (
        ("handlers", Subscription, module.subscriptions),
        ("models", Capture, module.captures),
    ):
        path = f"{module.name}.{part}"
        if importlib.util.find_spec(path) is None:
            continue
        for name, value in vars(import_module(path)).items():
            if isinstance(value, kind) and value.module == module.label and not _is_among(value, declared):
                member = "subscriptions" if kind is Subscription else "captures"
                text = f"{path}.{name} is not declared, so it does nothing."
                hint = f'Add "{path}.{name}" to ModuleConfig.{member}.'
                errors.append(Error(text, hint=hint, obj=module, id="pangaea.E027"))
    return errors


def _is_among(value: object, paths: Iterable[str]) -> bool:
    for path in paths:
        with suppress(ImportError):
            if import_string(path) is value:
                return True
    return False


def _check_migrations(module: ModuleConfig) -> list[CheckMessage]:
    """Find models without a migration, of which `makemigrations --check` knows nothing: their tables are never made.

    A warning, because an error would also stop the command that makes the migration.
    """
    if not list(module.get_models()) or any(Path(module.path, "migrations").glob("[!_]*.py")):
        return []
    text = f"{module.label} has models and no migrations, so no command creates their tables."
    return [checks.Warning(text, hint=f"Run `manage.py makemigrations {module.label}`.", obj=module, id="pangaea.W028")]


def _check_captures(module: ModuleConfig) -> list[Error]:
    errors = []
    for path in module.captures:
        try:
            capture = import_string(path)
        except ImportError as error:
            errors.append(Error(f"{path} cannot be imported: {error}", obj=module, id="pangaea.E010"))
            continue
        if isinstance(capture, Capture) and capture.module == module.label:
            found = capture.problems()
        else:
            found = iter([f"It is no Capture of a model of {module.label}."])
        errors += [Error(f"{path}: {problem}", obj=module, id="pangaea.E011") for problem in found]
    return errors


def _check_ownership(subscriptions: list[Subscription]) -> list[Error]:
    hint = "A projection names the models that it alone writes: Projection(..., models=(...))."
    projections = [each for each in subscriptions if isinstance(each, Projection)]
    return [
        Error(problem, hint=hint, obj=projection, id="pangaea.E013") for projection, problem in problems(projections)
    ]


def _check_handlers(subscription: Subscription, published: dict[str, Language]) -> list[Error]:
    errors = []
    for name, kind in _newest(subscription).items():
        if issubclass(kind, Command) and module_of(name) != subscription.module:
            text = f"{subscription.name} handles {name}, which is a command to {module_of(name)}."
            hint = "A command reaches its receiver alone. Handle the event that answers it."
            errors.append(Error(text, hint=hint, obj=kind, id="pangaea.E007"))
        else:
            errors += _compare(f"{subscription.name} handles", name, kind, published)
    return errors


def _newest(subscription: Subscription) -> dict[str, type[Message]]:
    """The class of the newest version of each handled message. Older versions are for messages still in the streams."""
    in_order = sorted(subscription.handlers.items(), key=lambda item: item[0])
    return {name: handler.message_type for (name, _), handler in in_order}


def _check_command_handlers(published: Language, subscriptions: list[Subscription]) -> list[Error]:
    """Check that exactly one Reaction handles each command: a Projection would execute it again in a rebuild."""
    errors = []
    for name, kind in published.items():
        if not issubclass(kind, Command):
            continue
        handled_by = [each for each in subscriptions if each.versions(name)]
        if len(handled_by) == 1 and isinstance(handled_by[0], Reaction):
            continue
        text = f"{name} is handled by {' and '.join(map(repr, handled_by)) or 'nothing'}."
        hint = "Handle a command in exactly one Reaction, which ModuleConfig.subscriptions names."
        errors.append(Error(text, hint=hint, obj=kind, id="pangaea.E008"))
    return errors


def _check_retention(module: ModuleConfig) -> list[Error]:
    if module.retention is None:
        return []
    if module.retention <= timedelta(0):
        text = f"{module.label} keeps its messages for {module.retention}."
        return [Error(text, hint="Set a positive time, or None to keep them for ever.", obj=module, id="pangaea.E012")]
    if not module.captures:
        text = f"{module.label} limits how long its messages are kept and captures no table."
        hint = "A later subscriber could never learn what was deleted. Declare captures, or keep the history."
        return [Error(text, hint=hint, obj=module, id="pangaea.E012")]
    return []


def _check_scopes(module: ModuleConfig) -> list[Error]:
    """Check that each scope is named after its module and has a role, and that the views' scopes are declared."""
    errors = []
    for number, scope in enumerate(module.scopes):
        if not re.fullmatch(rf"{module.label}:[a-z_]+", scope.name):
            text = f"{module.label} declares the scope {scope.name!r}."
            hint = f"Name it {module.label}:<what_it_allows>, like {module.label}:read."
            errors.append(Error(text, hint=hint, obj=module, id="pangaea.E016"))
        if scope.name in {each.name for each in module.scopes[:number]}:
            text = f"{module.label} declares the scope {scope.name!r} twice."
            errors.append(Error(text, hint="Keep one of them.", obj=module, id="pangaea.E016"))
        errors += _check_roles(module, scope)
    declared = {scope.name for scope in module.scopes}
    for view, required in sorted({(each.name, scope) for each in exposure.views_of(module) for scope in each.scopes}):
        if required not in declared:
            text = f"{view} requires the scope {required!r}, which {module.label} does not declare."
            hint = f"Declare it in ModuleConfig.scopes. There are: {', '.join(sorted(declared)) or 'none'}."
            errors.append(Error(text, hint=hint, obj=module, id="pangaea.E018"))
    return errors


def _check_roles(module: ModuleConfig, scope: Scope) -> list[Error]:
    known = ", ".join(Role)
    if not scope.roles:
        text = f"No role has the scope {scope.name!r}, so no caller can use what requires it."
        return [Error(text, hint=f"Name the roles that have it, of: {known}.", obj=module, id="pangaea.E017")]
    unknown = [role for role in scope.roles if role not in set(Role)]
    text = f"The scope {scope.name!r} names roles that do not exist: {', '.join(unknown)}."
    return [Error(text, hint=f"There are: {known}.", obj=module, id="pangaea.E017")] if unknown else []


def _check_sent(module: ModuleConfig, published: dict[str, Language]) -> list[Error]:
    errors = []
    for name, kind in sent_by(module).items():
        receiver = module_of(name)
        if receiver not in published:
            continue
        errors += _compare(f"{module.label} sends", name, kind, published)
        accepted = modules.named(receiver).accepts_commands_from
        if module.label not in accepted:
            text = f"{module.label} sends {name}, and {receiver} does not accept its commands."
            hint = f"{receiver} accepts commands from: {', '.join(accepted) or 'no module'}. See accepts_commands_from."
            errors.append(Error(text, hint=hint, obj=kind, id="pangaea.E009"))
    return errors


def _compare(use: str, name: str, kind: type[Message], published: dict[str, Language]) -> list[Error]:
    """Compare a sender's or a subscriber's own class with the published one; `use` begins the error's text."""
    known = published.get(module_of(name))
    if known is None:
        return []
    if name not in known:
        hint = f"{module_of(name)} declares: {', '.join(sorted(known)) or 'nothing'}."
        text = f"{use} {name}, which {module_of(name)} does not declare."
        return [Error(text, hint=hint, obj=kind, id="pangaea.E005")]
    theirs = known[name]
    if theirs.version != kind.version:
        text = f"{use} {name} in version {kind.version}; published is {theirs.version}."
        return [Error(text, obj=kind, id="pangaea.E006")]
    if issubclass(theirs, Command) != issubclass(kind, Command):
        text = f"{use} {name} as {_grammar(kind)}; published is {_grammar(theirs)}."
        return [Error(text, obj=kind, id="pangaea.E006")]
    return []


def _grammar(kind: type[Message]) -> str:
    return "a command" if issubclass(kind, Command) else "an event"
