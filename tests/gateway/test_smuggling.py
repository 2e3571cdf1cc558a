"""Requests about whose end two parsers could disagree (RFC 9112, 11.2), written byte by byte."""

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.gateway.edge import HOST, Edge, Service, declare, envoy, public

SMUGGLED = b"GET /shop/smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"

SHAPES = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "both lengths, other order": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED,
    "two lengths in one": b"Content-Length: 0, 44\r\n\r\n" + SMUGGLED,
    "signed length": b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "negative length": b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "length in hex": b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
    "chunk size that is none": b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n" + SMUGGLED,
    "negative chunk size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + SMUGGLED,
    "chunk longer than its size": b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcdef\r\n0\r\n\r\n" + SMUGGLED,
    "unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked and identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "folded coding": b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "space before the colon": b"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "zero byte in a header": b"X-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
}


HEAD = b"GET /shop HTTP/1.1\r\nHost: shop\r\n"

UNREADABLE = {
    "header_too_large": HEAD + b"X-A: 1\r\n" * 200 + b"\r\n",
    "malformed_request": b"\x16\x03\x01\x02\x00\r\n\r\n",
}


class TestARequestThatCannotBeRead:
    @pytest.mark.parametrize(("code", "sent"), UNREADABLE.items(), ids=UNREADABLE.keys())
    def test_is_answered_with_a_problem_document(self, edge: Edge, code: str, sent: bytes) -> None:
        document = problem(send(edge, sent))

        assert document["code"] == code
        assert None not in document.values()

    @pytest.mark.full  # ten seconds
    def test_is_answered_with_one_when_its_head_is_slow(self, edge: Edge) -> None:
        assert problem(send(edge, HEAD))["code"] == "request_timeout"


class TestSmuggling:
    @pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
    def test_is_refused(self, edge: Edge, shop: Service, shape: bytes) -> None:
        before = len(shop.seen)

        answers = send(edge, b"POST /shop/first HTTP/1.1\r\nHost: shop\r\n" + shape)

        assert answers.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), answers
        assert len(re.findall(rb"HTTP/1\.1 \d{3}", answers)) == 1, "what follows a refused request is not read"
        assert problem(answers)["code"] in {"malformed_request", "unknown_transfer_coding"}
        assert b"connection: close" in answers.lower()
        assert [each.path for each in shop.seen[before:]] == []

    def test_two_plain_requests_on_one_connection_are_two(self, edge: Edge, shop: Service) -> None:
        """Without this, the tests above would pass for a gateway that answers nothing."""
        before = len(shop.seen)
        last = b"GET /shop/second HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"

        answers = send(edge, b"POST /shop/first HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}" + last)

        assert answers.count(b"HTTP/1.1 200") == 2
        assert [each.path for each in shop.seen[before:]] == ["/shop/first", "/shop/second"]

    @pytest.mark.parametrize(
        "value",
        [b"b\r\n Transfer-Encoding: chunked", b"b\r\n\tTransfer-Encoding: chunked", b"b\rTransfer-Encoding: chunked"],
        ids=["folded", "folded by a tab", "bare CR"],
    )
    def test_a_header_on_two_lines_arrives_as_one(self, edge: Edge, shop: Service, value: bytes) -> None:
        """RFC 9112, 5.2: a gateway that accepts a fold replaces it, so no server behind it sees a second header."""
        send(
            edge,
            b"POST /shop/fold HTTP/1.1\r\nHost: shop\r\nX-A: "
            + value
            + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )

        assert shop.seen[-1].path == "/shop/fold"
        assert "transfer-encoding" not in shop.seen[-1].headers
        assert shop.seen[-1].headers["x-a"].replace("\t", " ") in {
            "b Transfer-Encoding: chunked",
            "bTransfer-Encoding: chunked",
        }

    def test_a_header_with_an_underscore_is_removed(self, edge: Edge, shop: Service) -> None:
        send(edge, b"GET /shop HTTP/1.1\r\nHost: shop\r\nContent_Length: 44\r\nConnection: close\r\n\r\n")

        assert "content_length" not in shop.seen[-1].headers


def problem(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    document: dict[str, object] = json.loads(body)
    return document


def send(edge: Edge, request: bytes) -> bytes:
    """All bytes of the answer until the gateway closes the connection."""
    with socket.create_connection((HOST, edge.port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


@pytest.fixture(scope="module")
def edge(shop: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("smuggling")
    with envoy(folder, [declare("shop", public("/shop"))], upstreams={"shop": shop.address}) as edge:
        edge.wait_for("/shop")
        yield edge
