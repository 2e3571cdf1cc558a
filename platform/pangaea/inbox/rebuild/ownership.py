"""Which projection owns which tables: nothing else writes them, so that they can be replaced as a whole."""

from collections.abc import Iterable, Iterator

from django.apps import apps
from django.db.models import Model

from pangaea.inbox.subscriptions import Projection


def problems(projections: Iterable[Projection]) -> Iterator[tuple[Projection, str]]:
    """The reasons why projections of one module cannot be rebuilt, one sentence each.

    The reasons are: a name that is no model's; a model that two projections keep; and a relation between a model that
    one projection keeps and any other model. Rows outside cannot refer to rows that are replaced, and rows that are
    rebuilt in the shadow would not find rows outside.
    """
    keepers: dict[type[Model], Projection] = {}
    for projection in projections:
        for name in projection.models:
            try:
                model = apps.get_model(projection.module, name)
            except LookupError:
                yield projection, f"{projection.name} names {name}, which is no model of {projection.module}."
                continue
            if model in keepers:
                yield projection, f"{projection.name} and {keepers[model].name} both keep {name}."
            keepers.setdefault(model, projection)
    for module in {projection.module for projection in keepers.values()}:
        for model in apps.get_app_config(module).get_models():
            for field in model._meta.concrete_fields:
                other = field.related_model
                if isinstance(other, type) and keepers.get(model) is not keepers.get(other):
                    keeper = keepers.get(model) or keepers[other]
                    yield keeper, f"{model.__name__}.{field.name} relates the models of {keeper.name} to another."
