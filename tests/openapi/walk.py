"""A walk through the shop by the generated client alone, as a stranger would write it.

The package `pangaea_client` exists once `tests.openapi.generated` made it, so this module is imported after that.
"""

import secrets
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from pangaea_client import AuthenticatedClient, Client
from pangaea_client.api.orders import (
    orders_cancel_order,
    orders_cancel_order_v2,
    orders_list_orders,
    orders_list_orders_v2,
    orders_list_products,
    orders_place_order,
    orders_place_order_v2,
    orders_read_order,
    orders_read_order_v2,
    orders_read_product,
)
from pangaea_client.api.users import users_issue_tokens, users_read_account, users_register_account
from pangaea_client.api.web_bff import web_bff_read_checkout, web_bff_read_home, web_bff_start_checkout
from pangaea_client.models import (
    OrdersNewLineRequest,
    OrdersNewOrderRequest,
    OrdersOrder,
    OrdersOrderStatus,
    OrdersProduct,
    OrdersV2Order,
    OrdersV2OrderStatus,
    PaginatedOrdersOrderList,
    PaginatedOrdersProductList,
    PaginatedOrdersV2OrderList,
    Problem,
    UsersAccount,
    UsersCredentialsRequest,
    UsersRegistrationRequest,
    UsersTokens,
    WebBffCheckout,
    WebBffCheckoutLineRequest,
    WebBffCheckoutStatus,
    WebBffHome,
    WebBffNewCheckoutRequest,
)
from pangaea_client.types import Response, Unset

from pangaea.servers.waiting import wait_until

PASSWORD = "correct horse battery staple"
FULL_NAME = "Alfred Wegener"
PAGE = 3

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Walk:
    """A client of the shop at `base_url`. `trust` verifies its certificate, where it uses TLS."""

    base_url: str
    trust: ssl.SSLContext | bool

    def run(self) -> None:
        """Walk. Raises AssertionError where an answer is another than the documents promise."""
        with Client(self.base_url, verify_ssl=self.trust, httpx_args={"trust_env": False}) as visitor:
            account, tokens = self.log_in(visitor)
            products = list(self.catalogue(visitor))
        with AuthenticatedClient(
            self.base_url, tokens.access_token, verify_ssl=self.trust, httpx_args={"trust_env": False}
        ) as customer:
            assert read(UsersAccount, users_read_account.sync_detailed(client=customer)) == account
            product = max(products, key=lambda each: each.in_stock)
            order = self.order(customer, product)
            repeated = self.order_once(customer, product)
            self.refused(customer, product)
            bought = self.check_out(customer, product)
            self.home(customer, account, {order.id, repeated.id, bought})

    def log_in(self, client: Client) -> tuple[UsersAccount, UsersTokens]:
        """Register, and log in."""
        email = f"stranger-{secrets.token_hex(6)}@example.com"
        registration = UsersRegistrationRequest(email=email, password=PASSWORD, full_name=FULL_NAME)
        registered = users_register_account.sync_detailed(client=client, body=registration)
        account = read(UsersAccount, registered, status=201)
        assert (account.email, account.full_name) == (email, FULL_NAME)
        assert registered.headers["location"] == "/api/v1/accounts/me"

        taken = users_register_account.sync_detailed(client=client, body=registration)
        assert problem_of(taken, status=409).code == "email_taken"
        credentials = UsersCredentialsRequest(email=email, password=PASSWORD)
        return account, read(UsersTokens, users_issue_tokens.sync_detailed(client=client, body=credentials))

    def catalogue(self, client: Client) -> Iterator[OrdersProduct]:
        """All products, page by page, each as its own address has it."""
        answer = orders_list_products.sync_detailed(client=client, limit=PAGE)
        while True:
            page = read(PaginatedOrdersProductList, answer)
            for product in page.results:
                assert read(OrdersProduct, orders_read_product.sync_detailed(product.sku, client=client)) == product
                yield product
            if not page.next_:
                break
            assert len(page.results) == PAGE
            answer = orders_list_products.sync_detailed(client=client, limit=PAGE, cursor=cursor_of(page.next_))

    def order(self, client: AuthenticatedClient, product: OrdersProduct) -> OrdersOrder:
        """Place an order, find it again, and cancel it."""
        body = OrdersNewOrderRequest(lines=[OrdersNewLineRequest(sku=product.sku, quantity=2)])
        placed = orders_place_order.sync_detailed(client=client, body=body)
        order = read(OrdersOrder, placed, status=201)
        assert placed.headers["location"] == f"/api/v1/orders/{order.id}"
        (line,) = order.lines
        assert (line.sku, line.name, line.quantity, line.unit_price) == (product.sku, product.name, 2, product.price)
        assert (order.total.amount, order.total.currency) == (2 * product.price.amount, product.price.currency)
        assert (order.status, order.cancelled_at) == (OrdersOrderStatus.PLACED, None)

        assert read(OrdersOrder, orders_read_order.sync_detailed(order.id, client=client)) == order
        assert read(PaginatedOrdersOrderList, orders_list_orders.sync_detailed(client=client)).results == [order]
        cancelled = read(OrdersOrder, orders_cancel_order.sync_detailed(order.id, client=client))
        assert cancelled.status == OrdersOrderStatus.CANCELLED
        assert cancelled.cancelled_at
        again = orders_cancel_order.sync_detailed(order.id, client=client)
        assert problem_of(again, status=409).code == "order_not_cancellable"
        return order

    def order_once(self, client: AuthenticatedClient, product: OrdersProduct) -> OrdersV2Order:
        """Place an order of version 2 twice with one key, which makes one order, and cancel it."""
        body = OrdersNewOrderRequest(lines=[OrdersNewLineRequest(sku=product.sku, quantity=3)])
        key = secrets.token_hex(16)
        first = orders_place_order_v2.sync_detailed(client=client, body=body, idempotency_key=key)
        order = read(OrdersV2Order, first, status=201)
        second = orders_place_order_v2.sync_detailed(client=client, body=body, idempotency_key=key)
        assert read(OrdersV2Order, second, status=201) == order
        assert "idempotent-replayed" not in first.headers
        assert second.headers["idempotent-replayed"] == "true"
        assert second.headers["location"] == order.links.self_ == f"/api/v2/orders/{order.id}"

        (line,) = order.lines
        assert (line.product.sku, line.product.name, line.quantity) == (product.sku, product.name, 3)
        assert (line.total, order.total) == (order.total, line.total)
        assert (line.unit_price.amount, order.total.amount) == (product.price.amount, 3 * product.price.amount)
        listed = read(PaginatedOrdersV2OrderList, orders_list_orders_v2.sync_detailed(client=client))
        assert [each.id for each in listed.results if each.status == OrdersV2OrderStatus.PLACED] == [order.id]

        found = orders_read_order_v2.sync_detailed(order.id, client=client)
        assert read(OrdersV2Order, found) == order
        tag = found.headers["etag"]
        unchanged = orders_read_order_v2.sync_detailed(order.id, client=client, if_none_match=tag)
        assert unchanged.status_code == HTTPStatus.NOT_MODIFIED
        key = secrets.token_hex(16)
        outdated = orders_cancel_order_v2.sync_detailed(order.id, client=client, idempotency_key=key, if_match='"no"')
        assert problem_of(outdated, status=412).code == "precondition_failed"
        cancelled = orders_cancel_order_v2.sync_detailed(order.id, client=client, idempotency_key=key, if_match=tag)
        assert read(OrdersV2Order, cancelled).status == OrdersV2OrderStatus.CANCELLED
        assert read(OrdersV2Order, cancelled).version > order.version
        return order

    def refused(self, client: AuthenticatedClient, product: OrdersProduct) -> None:
        """Order more than there may be in a line, and read which member is wrong."""
        body = OrdersNewOrderRequest(lines=[OrdersNewLineRequest(sku=product.sku, quantity=0)])
        problem = problem_of(orders_place_order.sync_detailed(client=client, body=body), status=400)
        assert problem.code == "validation_failed"
        assert not isinstance(problem.errors, Unset)
        assert [each.pointer for each in problem.errors] == ["#/lines/0/quantity"]

    def check_out(self, client: AuthenticatedClient, product: OrdersProduct) -> UUID:
        """Check out, and wait for the order."""
        body = WebBffNewCheckoutRequest(lines=[WebBffCheckoutLineRequest(sku=product.sku, quantity=1)])
        started = web_bff_start_checkout.sync_detailed(client=client, body=body)
        checkout = read(WebBffCheckout, started, status=202)
        assert started.headers["location"] == f"/bff/v1/checkouts/{checkout.id}"

        def decided() -> WebBffCheckout | None:
            found = read(WebBffCheckout, web_bff_read_checkout.sync_detailed(checkout.id, client=client))
            return None if found.status == WebBffCheckoutStatus.PENDING else found

        placed = wait_until(decided, what=f"checkout {checkout.id} to be decided")
        assert placed
        assert (placed.status, placed.refusal) == (WebBffCheckoutStatus.PLACED, None)
        order_id: UUID | None = placed.order_id
        assert order_id
        return order_id

    def home(self, client: AuthenticatedClient, account: UsersAccount, order_ids: set[UUID]) -> None:
        """Wait until the home page has the customer and these orders, and nothing else."""

        def complete() -> WebBffHome | None:
            home = read(WebBffHome, web_bff_read_home.sync_detailed(client=client))
            return home if home.me and {each.id for each in home.latest_orders} == order_ids else None

        home = wait_until(complete, what="the home page to have the customer and the orders")
        assert home
        assert home.me
        assert (home.me.user_id, home.me.email, home.me.full_name) == (account.id, account.email, account.full_name)


def read(kind: type[Answer], answer: Response[Answer | Problem], *, status: int = 200) -> Answer:
    """The answer's body, which has to be of this kind, with this status."""
    assert answer.status_code == status, answer.content
    assert isinstance(answer.parsed, kind), answer.parsed
    return answer.parsed


def problem_of(answer: Response[Any], *, status: int) -> Problem:
    """The problem document, which has to have this status."""
    assert answer.status_code == status, answer.content
    assert isinstance(answer.parsed, Problem), answer.parsed
    return answer.parsed


def cursor_of(link: str) -> str:
    """The cursor in a link to another page."""
    (cursor,) = parse_qs(urlsplit(link).query)["cursor"]
    return cursor
