"""psql for `manage.py dbshell`: past a pooler, and in the schema and with the role of the alias."""

from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql import client
from psycopg.conninfo import make_conninfo

from pangaea.databases.engines.postgresql import direct


class DatabaseClient(client.DatabaseClient):
    """Starts psql with the parameters of the alias's connections."""

    def runshell(self, parameters: Iterable[str]) -> None:
        """Run psql. Raises Django's OperationalError if a connection like psql's is not as the settings ask."""
        direct.connect(self.connection.alias).close()
        super().runshell(parameters)

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """The arguments and the environment of psql. Every account of a machine can read the former."""
        params = direct.libpq(settings_dict)
        params.pop("sslpassword", None)  # it has no variable: psql asks for it
        password = params.pop("password", "")
        arguments = [cls.executable_name, f"--dbname={make_conninfo(**params)}", *parameters]
        return arguments, {"PGPASSWORD": password} if password else None
