"""The end of a chunked body is found, however its bytes arrive, and nothing is waited for without end."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pangaea.processes.web.chunked_bodies import MAX_LINE, MAX_TRAILERS, ChunkedEnd
from pangaea.processes.web.request_buffer import RequestBuffer

HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
MAX_BODY = 64

chunks = st.lists(st.binary(min_size=1, max_size=8), max_size=8)
cuts = st.lists(st.integers(0, 400), max_size=20)


def encoded(parts: list[bytes], trailers: bytes = b"") -> bytes:
    return b"".join(b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailers + b"\r\n"


class TestAChunkedBody:
    @given(parts=chunks, at=cuts, trailers=st.sampled_from([b"", b"X-A: b\r\n"]))
    def test_is_gathered_to_its_end(self, parts: list[bytes], at: list[int], trailers: bytes) -> None:
        sent = HEAD + encoded(parts, trailers)
        buffer = RequestBuffer(MAX_BODY)
        places = sorted({0, len(sent), *(each for each in at if each < len(sent))})
        pieces = [sent[start:end] for start, end in itertools.pairwise(places)]
        for piece in pieces[:-1]:
            buffer.add(piece)
            assert not buffer.is_ready
        buffer.add(pieces[-1])
        assert buffer.is_ready
        assert not buffer.is_framed, "no other request is read from the connection"

    @pytest.mark.parametrize(
        "body",
        [
            b"x\r\n",
            b"-1\r\n",
            b"\r\n",
            b"1 1\r\n",
            b"41\r\n",
            b"fffffffff\r\n",
            b"1" * (MAX_LINE + 1),
            b"1\r\na\r\n" * 100,
            b"0\r\n" + b"X: y\r\n" * MAX_TRAILERS,
        ],
        ids=lambda body: repr(body[:12]),
    )
    def test_that_is_malformed_or_too_long_is_not_waited_for(self, body: bytes) -> None:
        assert ChunkedEnd(0, max_body=MAX_BODY).find(bytearray(body)) == len(body)

    @given(body=st.binary(max_size=40))
    def test_of_any_bytes_ends_within_them(self, body: bytes) -> None:
        end = ChunkedEnd(0, max_body=MAX_BODY).find(bytearray(body))
        assert end is None or end <= len(body)
