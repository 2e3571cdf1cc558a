"""The limits of a message, as constraints of its table: they hold for `publish`, triggers and rows inserted by hand.

They apply only to rows without a position, so that a row older than the constraints can still be sequenced and sent.
"""

from typing import Any

from django.db.models import CheckConstraint, Func, IntegerField, Q
from django.db.models.lookups import LessThanOrEqual

from pangaea.messages import LARGEST


class OctetLength(Func):
    """The length of a text in bytes of UTF-8, the encoding of sent messages."""

    function = "OCTET_LENGTH"
    arity = 1
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return SQL that works before SQLite 3.43, which introduced the function."""
        return self.as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)


_IS_SEQUENCED = Q(position__isnull=False)

# A writer whose row exceeds a limit sees these names in its error.
KEY_NOT_EMPTY = CheckConstraint(condition=_IS_SEQUENCED | ~Q(key=""), name="pangaea_outbox_key_is_not_empty")
BODY_NOT_TOO_LONG = CheckConstraint(
    condition=_IS_SEQUENCED | Q(LessThanOrEqual(OctetLength("body"), LARGEST)),
    name="pangaea_outbox_body_takes_a_mebibyte_at_most",
)
