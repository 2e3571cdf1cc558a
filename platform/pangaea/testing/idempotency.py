"""Answers to requests with an Idempotency-Key, made old without waiting."""


def expire_answers(module: str) -> None:
    """Empty the recorded answers of a module, as IDEMPOTENCY_RETENTION does: repeats are late repeats from then on."""
    from pangaea.api.idempotency_records import IdempotencyRecord

    IdempotencyRecord.objects.using(module).update(status=None, headers=None, body=None)
