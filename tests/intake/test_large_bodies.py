"""Bodies of millions of bytes: what they cost, in which thread, and how many at once."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.amounts import examples
from zoho_sync import AnyOf, HeaderToken, SignedRequest, ZohoSync
from zoho_sync.blocking import BlockingSync
from zoho_sync.exceptions import PayloadError
from zoho_sync.intake import http
from zoho_sync.intake.decoding import _object
from zoho_sync.intake.http import pairs
from zoho_sync.intake.receiver import LARGE, Request
from zoho_sync.intake.signature import SIGNATURE_HEADER
from zoho_sync.intake.verdict import Verdict

SIZE = 1_000_000
FORM = {SIGNATURE_HEADER: "0" * 64, "Content-Type": "application/x-www-form-urlencoded"}
FRAGMENTS = [
    *(b"%", b"4", b"1", b"%41", b"%C3", b"%A9", b"%C3%A9", b"%zz", b"%26", b"%3D", b"%00"),
    *(b"a", b"&", b"=", b"+", b"%2B", b";", b"#", b" ", b"\x00", "é".encode(), "😀".encode()),
    *(b"\xff", b"\xc3", b"\xa9", b"\xe2\x82"),
]


@settings(max_examples=examples(core=200, everything=5_000), deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12), st.sampled_from([3, 4, 5, 7, 16384]))
def test_a_form_is_decoded_as_python_does(fragments: Sequence[bytes], piece: int) -> None:
    encoded = b"".join(fragments)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(http, "_PIECE", piece)
        for errors in ("strict", "replace"):
            assert _decoded(pairs, encoded, errors) == _decoded(_by_python, encoded, errors)


def _decoded(decode: Any, encoded: bytes, errors: Literal["strict", "replace"]) -> Any:
    try:
        return decode(encoded, errors=errors)
    except ValueError:
        return "refused"


def _by_python(encoded: bytes, errors: Literal["strict", "replace"]) -> Any:
    text = encoded.decode("utf-8", errors)
    return tuple(parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors=errors))


@pytest.mark.parametrize("escape", [b"%41", b"%C3%A9", b"+a", b"a%41", b"%"])
def test_a_large_form_takes_little_memory(escape: bytes) -> None:
    """Python makes an object of each escape: half a gigabyte, for which no secret is needed."""
    encoded = b"JSONString=" + escape * (SIZE // len(escape))
    tracemalloc.start()
    ((_, value),) = pairs(encoded)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(value) >= SIZE // 6 - 1
    assert peak < 8 * SIZE


def test_fields_are_counted_before_they_are_decoded() -> None:
    assert len(pairs(b"a=b&" * 999 + b"a=b")) == 1_000
    with pytest.raises(ValueError, match="more fields"):
        pairs(b"a=b&" * 1_000)


@pytest.mark.parametrize("value", [b"1,", b"{},", b'{"a":1},', b"[],"])
def test_values_are_counted_before_they_are_read(value: bytes) -> None:
    """Each costs its sender two bytes, and the receiver some hundred, and ten microseconds."""
    body = b'{"item": {"item_id": "1", "list": [' + value * 250_001 + b"1]}}"
    with pytest.raises(PayloadError, match="more values"):
        _object(body.decode())
    many = b'{"item": {"item_id": "1", "list": [' + value * 50_000 + b"1]}}"
    assert len(_object(many.decode())["item"]["list"]) == 50_001


class Watching:
    """A verifier of an application's own, which notes in which threads it is asked."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.at_once = self.most = 0

    def verify(
        self, body: bytes, headers: Mapping[str, str], query: Sequence[tuple[str, str]]
    ) -> Verdict:
        """Refuse everything."""
        del body, headers, query
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.threads.append(threading.get_ident())
        threading.Event().wait(0.01)
        self.at_once -= 1
        return Verdict(ok=False, reason="no")


def make_sync(url: str, verifier: Any) -> ZohoSync:
    sessions = async_sessionmaker(create_async_engine(url, poolclass=NullPool))
    return ZohoSync(sessions, verifier=verifier)


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "one of several"])
async def test_large_bodies_are_judged_beside_the_loop_one_by_one(
    sqlite_url: str, *, inside: bool
) -> None:
    watching = Watching()
    token = HeaderToken("X-Token", "Sesame0pen-Sesame0pen")
    receiver = make_sync(sqlite_url, AnyOf(token, watching) if inside else watching)._receiver

    async def receive(size: int) -> int:
        request = Request(b"x" * size, {}, "", "POST")
        return (await receiver.receive(request, None, None, None)).http_status

    assert await receive(LARGE) == 401
    assert watching.threads == [threading.get_ident()]
    watching.threads.clear()
    answers = await asyncio.gather(*(receive(LARGE + 1) for _ in range(6)))
    assert (answers, watching.most) == ([401] * 6, 1)
    assert threading.get_ident() not in watching.threads


def test_without_asyncio_too(sqlite_url: str) -> None:
    watching = Watching()
    with BlockingSync(lambda: make_sync(sqlite_url, watching)) as sync:
        loop = sync.call(_thread)
        assert sync.receive(b"x" * (LARGE + 1)).http_status == 401
    assert watching.threads != [loop]


async def _thread(_: ZohoSync) -> int:
    return threading.get_ident()


async def test_a_large_form_with_a_wrong_signature_leaves_the_loop_free(sqlite_url: str) -> None:
    """Counted in turns of the loop, and not in seconds: a busy machine slows both down."""
    sync = make_sync(sqlite_url, SignedRequest("abcdef123456"))
    body = b"JSONString=" + b"a%41" * SIZE
    refused = asyncio.ensure_future(sync.receive(body, headers=FORM))
    turns = 0
    while not refused.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await refused).http_status == 401
    assert turns > 20


@pytest.mark.parametrize("second", ["0" * 64, "f" * 64, "", " "])
async def test_a_doubled_signature_is_refused(sqlite_url: str, second: str) -> None:
    """Servers join a header that stands there twice by a comma."""
    sync = make_sync(sqlite_url, SignedRequest("abcdef123456"))
    for joined in (f"{'0' * 64}, {second}", f"{second},{'0' * 64}"):
        refused = await sync._receiver.preview({SIGNATURE_HEADER: joined}, "")
        assert refused is not None
        assert refused.http_status == 401
