"""Requests with an Idempotency-Key: one effect per key, and what each repeat gets."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import structlog
from django.db import connections
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from pangaea import errors
from pangaea.api import idempotency_records
from pangaea.api.idempotency_keys import PATTERN
from pangaea.errors import Misuse
from pangaea.outbox.models import OutboxMessage
from pangaea.testing import client_for
from tests.kernel.api.things import KEY, THINGS, during, effects, problem, records, send
from tests.kernel.pipeline import SOURCE

pytestmark = [pytest.mark.urls("tests.kernel.api.things"), pytest.mark.django_db(databases=[SOURCE])]


@pytest.fixture
def me() -> APIClient:
    return client_for(uuid4())


def expire(age: timedelta) -> None:
    records().update(created_at=timezone.now() - age)
    idempotency_records.prune(SOURCE)


class TestARepeat:
    def test_gets_status_headers_and_body_again_and_has_no_effect(self, me: APIClient) -> None:
        first, repeat = send(me), send(me)

        assert (first.status_code, repeat.status_code) == (201, 201)
        assert repeat.content == first.content
        assert "Idempotent-Replayed" not in first.headers
        assert repeat.headers["Idempotent-Replayed"] == "true"
        own = {"X-Correlation-ID", "Idempotent-Replayed"}
        headers = {name: value for name, value in repeat.headers.items() if name not in own}
        assert headers == {name: value for name, value in first.headers.items() if name not in own}
        assert headers["Location"].startswith(THINGS)
        assert effects() == 1

    def test_has_a_correlation_id_of_its_own(self, me: APIClient) -> None:
        assert len({send(me)["X-Correlation-Id"] for _ in range(3)}) == 3

    def test_of_an_answer_without_a_body_gets_none(self, me: APIClient) -> None:
        address = send(me)["Location"]
        first, repeat = (me.delete(address, headers={"Idempotency-Key": "d"}) for _ in range(2))

        assert (first.status_code, repeat.status_code) == (204, 204)
        assert repeat.headers.keys() == first.headers.keys() | {"Idempotent-Replayed"}
        assert effects() == 2

    def test_of_bytes_gets_the_same_bytes(self, me: APIClient) -> None:
        send(me, address="/plain")
        repeat = send(me, address="/plain")

        assert (repeat.content, repeat["Content-Type"], repeat["Idempotent-Replayed"]) == (
            b"\x00\xff",
            "image/x",
            "true",
        )

    def test_with_another_spelling_of_its_body_is_the_same_request(self, me: APIClient) -> None:
        for body in ('{"number": 1, "names": ["\\u00e9", 2]}', ' {"names":["é", 2.0],\n"number":1.0}'):
            me.post(THINGS, body, content_type="application/json", headers={"Idempotency-Key": KEY})
        assert effects() == 1

    def test_with_another_spelling_of_an_id_in_the_path_is_the_same_request(self, me: APIClient) -> None:
        address = send(me)["Location"]
        for each in (address, address.upper().replace(THINGS.upper(), THINGS)):
            assert me.delete(each, headers={"Idempotency-Key": "d"}).status_code == 204
        assert effects() == 2

    def test_is_counted_and_logged_without_its_key(self, me: APIClient) -> None:
        send(me)
        with structlog.testing.capture_logs() as lines:
            send(me)
            send(me)

        replays = [line for line in lines if line["event"] == "request replayed"]
        assert [line["operation"] for line in replays] == ["POST things"] * 2
        assert KEY not in str(lines)
        assert records().get().replays == 2

    def test_of_another_caller_or_method_or_route_is_a_request_of_its_own(self, me: APIClient) -> None:
        for response in (
            send(me),
            send(client_for(uuid4())),
            me.put(THINGS, {"number": 1}, headers={"Idempotency-Key": KEY}),
            send(me, address="/plain"),
        ):
            assert "Idempotent-Replayed" not in response.headers
        assert effects() == 4

    def test_of_a_caller_without_the_scope_is_refused(self) -> None:
        subject = uuid4()
        send(client_for(subject))

        response = send(client_for(subject, ["orders:read"]))

        assert problem(response) == (403, "insufficient_scope")
        assert "Idempotent-Replayed" not in response.headers

    def test_costs_a_reader_nothing_without_a_key(self, me: APIClient) -> None:
        send(me, key=None)
        send(me, key=None)

        assert (effects(), records().count()) == (2, 0)


class TestAnotherRequestWithTheSameKey:
    @pytest.mark.parametrize("change", ["body", "query", "path"])
    def test_is_refused_and_does_nothing(self, me: APIClient, change: str) -> None:
        address = send(me, key="a")["Location"]
        other = send(me, key="b")["Location"]
        me.delete(address, headers={"Idempotency-Key": KEY})
        response = {
            "body": lambda: me.delete(address, {"x": 1}, headers={"Idempotency-Key": KEY}),
            "query": lambda: me.delete(f"{address}?x=1", headers={"Idempotency-Key": KEY}),
            "path": lambda: me.delete(other, headers={"Idempotency-Key": KEY}),
        }[change]()

        assert problem(response) == (422, "idempotency_key_reused")
        assert effects() == 3

    def test_is_found_by_an_hmac(self, me: APIClient) -> None:
        send(me)
        (stored,) = records().values_list("fingerprint", flat=True)
        assert len(stored) == 64

    def test_is_still_told_apart_while_the_secret_key_is_rotated(self, me: APIClient, settings: Settings) -> None:
        former, coming = settings.SECRET_KEY, "another-secret-key-of-fifty-characters-or-even-more"
        send(me, key="before")
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = coming, [former]
        assert send(me, key="before")["Idempotent-Replayed"] == "true"
        assert problem(send(me, 2, key="before")) == (422, "idempotency_key_reused")
        send(me, key="after")
        # A process that is not restarted yet has the coming key among its fallbacks.
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = former, [coming]
        assert send(me, key="after")["Idempotent-Replayed"] == "true"


class TestAFailure:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (errors.Conflict("out_of_stock", "None left."), 409),
            (errors.Unavailable("down"), 503),
            (KeyError("bug"), 500),
        ],
        ids=["domain", "unavailable", "bug"],
    )
    def test_is_not_recorded_and_undoes_the_effect(self, me: APIClient, error: Exception, status: int) -> None:
        def fail() -> None:
            raise error

        me.raise_request_exception = False
        with during(fail):
            assert send(me).status_code == status
        assert effects() == 0

        again = send(me)
        assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)
        assert effects() == 1

    @pytest.mark.parametrize("key", [KEY, None])
    def test_that_is_answered_without_raising_undoes_the_effect_too(self, me: APIClient, key: str | None) -> None:
        headers = {"Idempotency-Key": key} if key else {}
        assert me.post("/plain", {"status": 409}, headers=headers).status_code == 409
        assert (effects(), records().count()) == (0, 0)

    def test_to_read_the_body_is_not_recorded(self, me: APIClient) -> None:
        response = me.post(THINGS, "{", content_type="application/json", headers={"Idempotency-Key": KEY})
        assert problem(response) == (400, "malformed_json")
        assert send(me).status_code == 201

    def test_to_name_the_resource_is_a_mistake_of_the_view(self, me: APIClient) -> None:
        with pytest.raises(Misuse, match=r"PUT plain has no Location: .*resource="):
            me.put("/plain", {}, headers={"Idempotency-Key": KEY})
        assert effects() == 0


class TestAKey:
    @pytest.mark.parametrize("key", ["a", "a b", "x" * 255, "~!#$%&'()*+-./:;<=>?@[\\]^_`{|}", "0"])
    def test_may_be_any_printable_text(self, me: APIClient, key: str) -> None:
        send(me, key=key)
        quoted = '"{}"'.format(key.replace("\\", r"\\").replace('"', r"\""))
        assert send(me, key=quoted)["Idempotent-Replayed"] == "true"
        assert records().get().key == key

    @pytest.mark.parametrize(
        ("key", "means"), [('"a,b"', "a,b"), (r'"a\"b"', 'a"b'), ('" "', " "), (f'"{"x" * 255}"', "x" * 255)]
    )
    def test_in_quotes_may_have_more(self, me: APIClient, key: str, means: str) -> None:
        assert send(me, key=key).status_code == 201
        assert records().get().key == means

    @pytest.mark.parametrize(
        "key",
        [
            *(
                "",
                '""',
                '"a',
                'a"',
                '"a"b"',
                '"a\\"',
                '"a\\b"',
                'a"b',
                "a,b",
                '"a", "b"',
                '"a";q=1',
                "x" * 256,
                f'"{"x" * 256}"',
            ),
            *("a\tb", "\x00", "é", '"é"', "a\n", "\x7f", '"\x1f"'),
        ],
    )
    def test_of_another_form_is_refused(self, me: APIClient, key: str) -> None:
        response = me.post(THINGS, {"number": 1}, HTTP_IDEMPOTENCY_KEY=key)

        assert problem(response) == (400, "idempotency_key_malformed")
        assert effects() == 0

    def test_is_missing_only_where_it_is_required(self, me: APIClient) -> None:
        assert problem(me.put(THINGS, {"number": 1})) == (400, "idempotency_key_missing")
        assert me.put(THINGS, {"number": 1}, headers={"Idempotency-Key": KEY}).status_code == 201
        assert send(me, key=None).status_code == 201
        assert effects() == 2

    def test_has_a_pattern_without_what_only_python_knows(self) -> None:
        assert "(?:" in PATTERN
        assert not {"(?P", "\\A", "\\Z"} & {PATTERN[at : at + 3] for at in range(len(PATTERN))}


class TestALateRepeat:
    def test_gets_the_resource_in_its_present_state(self, me: APIClient) -> None:
        first = send(me)
        expire(timedelta(days=1, seconds=1))
        repeat = send(me)

        assert repeat.status_code == 200
        assert repeat.json() == {"id": first.json()["id"], "state": "present", "query": {}}
        assert (repeat["Idempotent-Replayed"], repeat["Location"]) == ("true", first["Location"])
        assert effects() == 1

    def test_of_a_change_gets_what_was_changed(self, me: APIClient) -> None:
        address = send(me)["Location"]
        me.delete(address, headers={"Idempotency-Key": "d"})
        expire(timedelta(days=2))
        repeat = me.delete(address, headers={"Idempotency-Key": "d", "If-Match": '"7"'})

        assert (repeat.status_code, repeat.json()["state"], repeat["Location"]) == (200, "present", address)

    def test_of_a_resource_that_is_deleted_gets_its_absence(self, me: APIClient) -> None:
        send(me)
        expire(timedelta(days=29))
        OutboxMessage.objects.using(SOURCE).all().delete()
        repeat = send(me)

        assert problem(repeat) == (404, "order_not_found")
        assert repeat["Idempotent-Replayed"] == "true"
        assert effects() == 0

    def test_of_a_resource_at_no_address_gets_its_absence(self, me: APIClient) -> None:
        send(me, address="/plain")
        expire(timedelta(days=2))
        repeat = send(me, address="/plain")

        assert problem(repeat) == (404, "not_found")
        assert repeat["Idempotent-Replayed"] == "true"

    def test_needs_the_right_to_read(self) -> None:
        subject = uuid4()
        send(client_for(subject))
        expire(timedelta(days=2))
        repeat = send(client_for(subject, ["orders:write"]))

        assert problem(repeat) == (403, "insufficient_scope")
        assert effects() == 1

    def test_is_refused_if_it_is_another_request(self, me: APIClient) -> None:
        send(me)
        expire(timedelta(days=2))
        assert problem(send(me, 2)) == (422, "idempotency_key_reused")

    def test_after_thirty_days_is_a_new_request(self, me: APIClient) -> None:
        send(me)
        expire(timedelta(days=30, seconds=1))
        repeat = send(me)

        assert (repeat.status_code, "Idempotent-Replayed" in repeat.headers) == (201, False)
        assert effects() == 2


class TestRetention:
    def test_keeps_what_is_young(self, me: APIClient) -> None:
        send(me)
        expire(timedelta(hours=23))
        assert send(me).status_code == 201
        assert records().get().status == 201

    def test_is_as_long_as_it_is_set(self, me: APIClient, settings: Settings) -> None:
        settings.PANGAEA = replace(settings.PANGAEA, idempotency_retention=timedelta(minutes=1))
        send(me)
        expire(timedelta(minutes=2))
        assert send(me).status_code == 200

    def test_empties_answers_and_deletes_keys_in_bounded_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(idempotency_records, "BATCH", 2)
        now, days = timezone.now(), [40, 40, 40, 2, 2, 2, 0]
        for number, age in enumerate(days):
            records().create(
                subject=uuid4(),
                operation="POST things",
                key=str(number),
                fingerprint="",
                resource="/",
                status=200,
                headers={},
                body=b"{}",
                created_at=now - timedelta(days=age),
            )
        passes: list[idempotency_records.Pruned] = []
        while not passes or passes[-1].unfinished:
            passes.append(idempotency_records.prune(SOURCE))

        assert (sum(each.answers for each in passes) >= 4, sum(each.keys for each in passes)) == (True, 3)
        assert max(each.keys for each in passes) == 2
        assert [(row.status, row.body) for row in records().order_by("id")[:3]] == [(None, None)] * 3
        assert bytes(records().latest("id").body) == b"{}"


@pytest.mark.django_db(databases=[SOURCE], transaction=True)
class TestManyAtOnce:
    def test_have_one_effect_and_each_gets_the_answer_or_is_sent_away(self) -> None:
        subject, count = uuid4(), 20
        inside, others = threading.Event(), threading.Event()
        rendezvous = threading.Barrier(count - 1, timeout=60)

        def one(number: int) -> Any:
            try:
                if number:
                    assert inside.wait(60)
                    rendezvous.wait()
                return send(client_for(subject))
            finally:
                connections.close_all()

        def hold() -> None:
            inside.set()
            assert others.wait(60)

        with during(hold), ThreadPoolExecutor(count) as pool:
            first = pool.submit(one, 0)
            refused = [each.result() for each in [pool.submit(one, number) for number in range(1, count)]]
            others.set()
            assert first.result().status_code == 201

        assert Counter(map(problem, refused)) == {(409, "idempotency_key_in_use"): count - 1}
        assert {response["Retry-After"] for response in refused} == {"1"}
        assert effects() == 1
        assert send(client_for(subject)).content == first.result().content

    def test_that_repeat_what_is_done_all_get_its_answer(self) -> None:
        subject = uuid4()
        first = send(client_for(subject))
        rendezvous = threading.Barrier(10, timeout=60)

        def one(_number: int) -> Any:
            try:
                rendezvous.wait()
                return send(client_for(subject))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(10) as pool:
            repeats = list(pool.map(one, range(10)))

        assert Counter((each.status_code, each.content) for each in repeats) == {(201, first.content): 10}
        assert records().get().replays == 10
        assert effects() == 1

    @pytest.mark.usefixtures("postgresql_only")
    def test_with_other_keys_do_not_wait_for_each_other(self, me: APIClient) -> None:
        def other() -> int:
            try:
                with_key: int = me.put("/things", {"number": 2}, headers={"Idempotency-Key": "other"}).status_code
                return with_key
            finally:
                connections.close_all()

        def meanwhile() -> None:
            if not nested:
                nested.append(pool.submit(other))
                statuses.append(nested[0].result(60))

        nested: list[Any] = []
        statuses: list[int] = []
        with during(meanwhile), ThreadPoolExecutor(1) as pool:
            assert send(me).status_code == 201
        assert statuses == [201]


def test_json_of_the_body_is_stored_as_it_was_sent(me: APIClient) -> None:
    first = send(me)
    assert json.loads(bytes(records().get().body)) == first.json()
