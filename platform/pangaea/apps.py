"""The kernel as a Django app: its tables exist once in every module's schema."""

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_migrate, pre_migrate
from django.urls import register_converter
from django.urls.converters import get_converters

from pangaea.ids import IdConverter


class KernelConfig(AppConfig):
    """Registers the checks and the converter of ids, and keeps triggers as declared and sequences after ids in use."""

    name = "pangaea"
    verbose_name = "Streams"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, `<id:…>` for paths, and the handlers around `migrate`."""
        from pangaea import checks  # noqa: F401 - the app registry must be ready first
        from pangaea.change_capture import triggers
        from pangaea.databases import sequences, versions

        register(triggers.check, triggers.TAG)
        # A process is ready again once INSTALLED_APPS are overridden, and Django refuses to register a converter twice.
        if "id" not in get_converters():
            register_converter(IdConverter, "id")
        pre_migrate.connect(triggers.before_migrate, sender=self)
        post_migrate.connect(triggers.after_migrate, sender=self)
        post_migrate.connect(sequences.after_migrate, sender=self)
        pre_migrate.connect(versions.before_migrate, sender=self)
        post_migrate.connect(versions.after_migrate, sender=self)
