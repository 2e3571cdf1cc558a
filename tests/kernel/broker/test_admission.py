"""Which messages of the broker are accepted, by their bytes and their sender."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pangaea.broker import admission
from pangaea.broker.admission import RawMessage, RefusedMessages, Senders, admit
from pangaea.errors import RefusedMessage

QUEUE = "orders.inbox.0of1"
SENDERS = Senders(own="orders", prefix="", declared=["shop=users"])
VALID = RawMessage(
    content_type=admission.CONTENT_TYPE,
    content_encoding=admission.CONTENT_ENCODING,
    headers={"task": admission.DELIVER, "id": "01a224d4-a917-71bd-ad61-35e8d848e44b"},
    length=2,
    routing_key="users.all.7",
    login="users",
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.binary(max_size=40)
anything: Any = st.recursive(
    scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3)
)
HEADERS = st.dictionaries(
    st.sampled_from(["task", "id", "timelimit", "stamped_headers", "eta", "compression"]), anything
)


def with_headers(**headers: Any) -> RawMessage:
    return replace(VALID, headers={**VALID.headers, **headers})


class TestAdmit:
    def test_returns_checked_headers_only(self) -> None:
        found = admit(
            with_headers(timelimit=[1], stamped_headers=5, eta="x", x_queue="users.inbox.0of1"), QUEUE, SENDERS
        )
        assert found == {**VALID.headers, "x_queue": QUEUE, "argsrepr": "", "kwargsrepr": ""}

    @pytest.mark.parametrize(
        "message",
        [
            replace(VALID, headers=None),
            replace(VALID, headers=[]),
            replace(VALID, headers={}),
            with_headers(task=["pangaea.deliver"]),
            with_headers(task="celery.chord"),
            with_headers(id="x"),
            with_headers(id=None),
            with_headers(id=uuid4()),
            with_headers(compression="application/x-gzip"),
            with_headers(**{"x-death": []}),
            replace(VALID, content_type="application/json"),
            replace(VALID, content_type=None),
            replace(VALID, content_encoding="utf-8"),
            replace(VALID, length=0),
            replace(VALID, length=17 * admission.MEBIBYTE),
            replace(with_headers(task=admission.REPORT), length=admission.MEBIBYTE),
            replace(VALID, login=None),
            replace(VALID, login="web_bff"),
            replace(VALID, login="shop", routing_key="web_bff.all.7"),
            replace(VALID, login="shop", routing_key=""),
        ],
        ids=str,
    )
    def test_refuses(self, message: RawMessage) -> None:
        with pytest.raises(RefusedMessage):
            admit(message, QUEUE, SENDERS)

    @pytest.mark.parametrize("login", ["users", "orders", "shop"])
    def test_accepts_a_modules_own_login_this_process_login_and_a_declared_one(self, login: str) -> None:
        assert admit(replace(VALID, login=login), QUEUE, SENDERS)

    def test_accepts_the_logins_of_its_own_installation_only(self) -> None:
        senders = Senders(own="blue.orders", prefix="blue.", declared=[])
        assert admit(replace(VALID, login="blue.users"), QUEUE, senders)
        with pytest.raises(RefusedMessage):
            admit(VALID, QUEUE, senders)

    def test_needs_no_login_where_the_broker_names_none(self) -> None:
        assert admit(replace(VALID, login=None), QUEUE, None)

    @given(headers=HEADERS | anything, content_type=anything, content_encoding=anything)
    def test_raises_nothing_but_a_refusal(self, headers: Any, content_type: Any, content_encoding: Any) -> None:
        message = replace(VALID, headers=headers, content_type=content_type, content_encoding=content_encoding)
        try:
            found = admit(message, QUEUE, SENDERS)
        except RefusedMessage:
            return
        assert found.keys() == {"task", "id", "x_queue", "argsrepr", "kwargsrepr"}


class TestRefused:
    def test_are_all_counted_and_logged_once_per_interval(self) -> None:
        refused = RefusedMessages()
        with capture_logs() as logged:
            for number in range(1000):
                refused.record(QUEUE, f"reason {number % 2}", login="web_bff", routing_key="users.all.7")
        assert refused.counts == {(QUEUE, "reason 0"): 500, (QUEUE, "reason 1"): 500}
        assert [(line["event"], line["reason"]) for line in logged] == [
            ("broker message refused", "reason 0"),
            ("broker message refused", "reason 1"),
        ]


class TestTwoLoginsOfAModule:
    @pytest.mark.parametrize("own", ["orders", "orders-2"])
    @pytest.mark.parametrize(
        ("login", "module"), [("users", "users"), ("users-2", "users"), ("shop-2", "users"), ("orders-2", "web_bff")]
    )
    def test_may_send_for_the_same_modules(self, own: str, login: str, module: str) -> None:
        assert Senders(own=own, prefix="", declared=["shop=users"]).may_send(login, module)
        assert Senders(own=own, prefix="", declared=["shop-2=users"]).may_send(login, module)

    @pytest.mark.parametrize("login", ["users-3", "users-2-2", "users2", "web_bff-2", "shop-2"])
    def test_are_two_and_may_send_for_no_other_module(self, login: str) -> None:
        assert not Senders(own="orders", prefix="", declared=["shop=web_bff"]).may_send(login, "users")
