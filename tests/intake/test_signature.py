"""Who is let in, who is not, and that nobody learns why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_sync.exceptions import ConfigurationError
from zoho_sync.intake.signature import (
    SIGNATURE_HEADER,
    AnyOf,
    SignedBody,
    SignedRequest,
    preview_of,
)
from zoho_sync.intake.signed_string import hmac_of, sign
from zoho_sync.intake.tokens import HeaderToken, QueryToken, Unverified
from zoho_sync.intake.verdict import WHOLE_REQUEST, Part, Verdict, Verifier

SECRET = "abcdef123456"
OTHER = "654321fedcba"
BODY = b'{"created_date":"2019-03-06","event_id":"5675"}'
QUERY = (("subscription_id", "90343"), ("name", "basic"))
KEYS = ("subscription_id", "name")
WITH_QUERY = "e26ab980f15187807121de79eef36d994773c13bbba70d9c821ab3d6517a2ce4"
WITHOUT_QUERY = "892d6267978b6c2ece3331ed39a2aca6d6ba3ffc74ca6c1e7f1966b88c9d8400"
FORM = "application/x-www-form-urlencoded; charset=UTF-8"


def signed(signature: str, content_type: str = "application/json") -> dict[str, str]:
    return {"content-type": content_type, SIGNATURE_HEADER.lower(): signature}


@pytest.mark.parametrize(
    ("query", "signature"), [(QUERY, WITH_QUERY), (QUERY[::-1], WITH_QUERY), ((), WITHOUT_QUERY)]
)
def test_zohos_published_signatures_are_made_and_accepted(
    query: tuple[tuple[str, str], ...], signature: str
) -> None:
    assert sign(SECRET, BODY, query) == signature
    verifier = SignedRequest(SECRET, query_keys=KEYS)
    assert verifier.verify(BODY, signed(signature), query).ok
    assert verifier.verify(BODY, {"X-ZOHO-Webhook-signature": signature}, query).ok


def test_any_of_several_secrets_is_enough() -> None:
    verifier = SignedRequest(OTHER, SECRET)
    assert verifier.verify(BODY, signed(sign(SECRET, BODY)), ()).ok
    assert verifier.verify(BODY, signed(sign(OTHER, BODY)), ()).ok


def test_another_body_query_or_secret_is_refused() -> None:
    verifier = SignedRequest(SECRET, query_keys=KEYS)
    assert not verifier.verify(BODY + b" ", signed(WITH_QUERY), QUERY).ok
    assert not verifier.verify(BODY, signed(WITH_QUERY), ()).ok
    assert not SignedRequest(OTHER, query_keys=KEYS).verify(BODY, signed(WITH_QUERY), QUERY).ok
    assert not verifier.verify(BODY, {}, QUERY).ok


def test_a_refusal_explains_what_was_hashed() -> None:
    verdict = SignedRequest(SECRET).verify(BODY, signed("0" * 64), QUERY)
    assert verdict == Verdict(
        ok=False,
        reason="the signature does not match",
        detail="query keys name, subscription_id and 47 body bytes",
    )
    verdict = SignedRequest(SECRET).verify(b"a=1&b=2", signed("0" * 64, FORM), ())
    assert verdict.detail == "2 form fields without a query"


def test_form_pairs_are_decoded_and_merged_with_those_of_the_query() -> None:
    body = b"b=%7B%22x%22%3A%22%C3%A4+%2By%22%7D&a="
    query = (("op", "edit"), ("source", "3"))
    expected = sign(SECRET, ("a" + 'b{"x":"ä +y"}' + "opedit" + "source3").encode())
    assert sign(SECRET, body, query, content_type=FORM) == expected
    verifier = SignedRequest(SECRET, query_keys=("a", "source"))
    assert verifier.verify(body, signed(expected, FORM), query).ok
    # Only a form contributes pairs: the same bytes as JSON are hashed as they are.
    assert not verifier.verify(body, signed(expected), query).ok


def test_a_form_that_is_not_utf_8_is_refused() -> None:
    verdict = SignedRequest(SECRET).verify(b"a=%ff", signed("0" * 64, FORM), ())
    assert verdict == Verdict(ok=False, reason="the form is not UTF-8, or has too many fields")


def test_a_sender_cannot_forge_the_log() -> None:
    query = [("fine", ""), ("a\nINFO all is well", ""), (f"x{SECRET}", ""), ("k" * 41, "")]
    verdict = SignedRequest(SECRET).verify(b"", signed("0" * 64), query)
    assert "query keys (not shown), (not shown), (not shown), fine and" in verdict.detail
    many = [(f"k{number:02}", "") for number in range(11)]
    assert "k09, … and 0" in SignedRequest(SECRET).verify(b"", signed("0" * 64), many).detail


def test_the_body_alone_can_be_what_is_signed() -> None:
    verifier = SignedBody("any secret")
    assert verifier.verify(BODY, signed(sign("any secret", BODY)), QUERY).ok
    assert not verifier.verify(BODY, signed(WITH_QUERY), QUERY).ok
    for body, is_taken in ((b"a=1", False), (b"JSONString={}", True), (b"[1, 2]", True)):
        signature = hmac_of("any secret", body)
        verdict = verifier.verify(body, signed(signature, FORM), ())
        assert verdict.ok == is_taken, body
        assert is_taken or "name the first field JSONString" in verdict.reason
        # What is junk and no form is let in, and kept as a dead letter: nothing genuine is lost.
        assert verifier.verify(body, signed(signature), ()).ok


def test_a_verdict_says_what_it_covers_and_for_whom() -> None:
    query_and_body: frozenset[Part] = frozenset({"body", "query"})
    by_request = SignedRequest(SECRET, organization_id="A")
    request = by_request.verify(BODY, signed(WITHOUT_QUERY), ())
    assert (request.covers, request.organization_id) == (query_and_body, "A")
    by_body = SignedBody(SECRET, organization_id="A")
    body = by_body.verify(BODY, signed(WITHOUT_QUERY), ())
    assert (body.covers, body.organization_id) == (frozenset({"body"}), "A")
    of_header = HeaderToken("X-Token", "t", organization_id="A")
    header = of_header.verify(BODY, {"x-token": "t"}, ())
    query = QueryToken("token", "t", organization_id="A").verify(BODY, {}, [("token", "t")])
    for verdict in (header, query):
        assert (verdict.covers, verdict.organization_id) == (WHOLE_REQUEST, "A")
    of_b = HeaderToken("X-Token", "t", organization_id="B")
    either = AnyOf(by_request, of_b)
    assert either.verify(BODY, {"x-token": "t"}, ()) == of_b.verify(BODY, {"x-token": "t"}, ())
    assert either.verify(BODY, signed(WITHOUT_QUERY), ()) == request
    # A verifier of an application's own that states nothing covers the body alone.
    assert Verdict(ok=True, reason="mine").covers == {"body"}


def test_a_secret_belongs_to_one_organization() -> None:
    token = HeaderToken("X-Token", SECRET, organization_id="A")
    bound = SignedRequest(SECRET, OTHER, organization_id="A")
    for others in (
        [SignedRequest(SECRET, organization_id="B")],
        [SignedBody(OTHER, organization_id="B")],
        [HeaderToken("X-Other", SECRET, organization_id="B")],
        [AnyOf(QueryToken("k", SECRET, organization_id="B"))],
    ):
        with pytest.raises(ConfigurationError, match="A and B have one secret") as refused:
            AnyOf(bound, *others)
        assert SECRET not in str(refused.value)
    AnyOf(bound, token, SignedRequest(OTHER), SignedBody("0" * 12, organization_id="B"))


@pytest.mark.parametrize("header", [None, "", "x", "0" * 63, "0" * 65, "g" * 64, "0" * 64 + ", 0"])
def test_what_no_body_makes_right_is_refused_before_it_is_read(header: str | None) -> None:
    headers = {} if header is None else {SIGNATURE_HEADER: header}
    by_token = HeaderToken("X-Token", "t")
    for verifier in (SignedRequest(SECRET), SignedBody(SECRET), by_token, QueryToken("k", "t")):
        assert preview_of(verifier, headers, ()) is not None
        assert preview_of(AnyOf(by_token, verifier), headers, ()) is not None
        assert preview_of(AnyOf(by_token, verifier), headers | {"x-token": "t"}, ()) is None
    assert preview_of(Unverified(), headers, ()) is None


def test_what_a_body_may_make_right_is_read() -> None:
    for verifier in (SignedRequest(SECRET), SignedBody(SECRET)):
        assert preview_of(verifier, {SIGNATURE_HEADER: "0" * 64}, ()) is None
        any_of = AnyOf(HeaderToken("X-Token", "t"), verifier)
        assert preview_of(any_of, {SIGNATURE_HEADER: "0" * 64}, ()) is None


@pytest.mark.parametrize("key", ["o", "opdelete", "ope", "inv", "entityx", "organization", "é", ""])
def test_a_query_key_that_could_be_taken_for_another_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="query_keys"):
        SignedRequest(SECRET, query_keys=(key,))


def test_a_token_in_a_header() -> None:
    verifier = HeaderToken("X-Token", "new token", "old token")
    assert verifier.verify(b"", {"x-tOKEN": "old token"}, ()).ok
    assert verifier.verify(b"", {"x-token": "new token "}, ()).ok
    assert verifier.verify(b"", {"x-token": "tök"}, ()).reason == "wrong token in header X-Token"
    assert verifier.verify(b"", {}, ()).reason == "no X-Token header"


def test_a_token_in_the_query() -> None:
    verifier = QueryToken("token", "schlüssel", "old")
    assert verifier.verify(b"", {}, [("token", "x"), ("token", "schlüssel")]).ok
    assert (
        verifier.verify(b"", {}, [("token", "x")]).reason == "wrong token in query parameter token"
    )
    assert verifier.verify(b"", {}, [("Token", "old")]).reason == "no query parameter token"


def test_one_of_several_verifiers_is_enough() -> None:
    verifier = AnyOf(SignedRequest(SECRET, query_keys=KEYS), HeaderToken("X-Token", "old"))
    assert verifier.verify(BODY, signed(WITH_QUERY), QUERY).ok
    assert verifier.verify(BODY, {"x-token": "old"}, ()).reason == "right token in header X-Token"
    refused = verifier.verify(BODY, {"x-token": "odl"}, ())
    assert refused == Verdict(
        ok=False, reason=f"no {SIGNATURE_HEADER} header; wrong token in header X-Token"
    )


def test_lesson_29_nothing_is_recorded_as_verified_that_was_not() -> None:
    assert Unverified().verify(b"", {}, ()) == Verdict(
        ok=True,
        reason="not verified: Unverified() accepts everything",
        covers=WHOLE_REQUEST,
    )


@pytest.mark.parametrize(
    "make",
    [
        SignedRequest,
        SignedBody,
        AnyOf,
        lambda: HeaderToken("X-Token"),
        lambda: QueryToken("token"),
        lambda: SignedRequest(SECRET, ""),
        lambda: SignedRequest("tooshort123"),
        lambda: SignedRequest("x" * 51),
        lambda: SignedRequest("abcdef-123456"),
        lambda: SignedRequest("abcdef12345ä"),
        lambda: SignedBody(" "),
        lambda: SignedBody("secret\n"),
        lambda: SignedBody(None),  # type: ignore[arg-type]  # what os.environ.get may give
        lambda: SignedBody(["secret"]),  # type: ignore[arg-type]  # a list instead of arguments
        lambda: HeaderToken("", "token"),
        lambda: HeaderToken("X Token", "token"),
        lambda: HeaderToken("X-Token", "tök"),
        lambda: HeaderToken("X-Token", ""),
        lambda: QueryToken(" ", "token"),
        lambda: QueryToken("token", ""),
        lambda: AnyOf(SECRET),  # type: ignore[arg-type]  # no verifier
        lambda: AnyOf(SignedBody(SECRET), Unverified()),
    ],
)
def test_lesson_29_a_verifier_without_a_usable_secret_cannot_be_made(
    make: Callable[[], Verifier],
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert SECRET not in str(caught.value)
    assert "tök" not in str(caught.value)


VERIFIERS: tuple[Verifier, ...] = (
    SignedRequest(SECRET),
    SignedBody(SECRET),
    HeaderToken("X-Token", SECRET),
    QueryToken("token", SECRET),
    AnyOf(SignedRequest(SECRET), QueryToken("token", SECRET)),
)


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_no_secret_shows(verifier: Verifier) -> None:
    assert SECRET not in repr(verifier)
    assert SECRET not in str(verifier)
    headers = signed(sign(SECRET, BODY)) | {"x-token": SECRET}
    verdict = verifier.verify(BODY, headers, [("token", SECRET), (SECRET, "")])
    assert SECRET not in verdict.reason + verdict.detail


@given(
    body=st.binary(),
    content_type=st.sampled_from(["application/json", FORM, ""]),
    value=st.text(st.characters(exclude_categories=())),
    query=st.lists(st.tuples(st.text(st.characters(exclude_categories=())), st.text())),
)
def test_nothing_that_a_sender_sends_raises_or_is_let_in(
    body: bytes, content_type: str, value: str, query: list[tuple[str, str]]
) -> None:
    headers = {"Content-Type": content_type, SIGNATURE_HEADER: value, "x-token": value}
    for verifier in VERIFIERS:
        assert not verifier.verify(body, headers, [*query, ("token", value)]).ok
