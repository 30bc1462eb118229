"""What `ZohoSync` is given is checked when it is made, and the remedy is said."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker

from zoho_sync import ConfigurationError, RetryPolicy, SignedRequest, ZohoSync

SECRET = "abcdef123456"


def heard(_settled: object) -> None:
    """Hear of a settled event."""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"verifier": SECRET}, "verifier is of type str; give SignedRequest(secret), or"),
        ({"verifier": SignedRequest}, "verifier is the class SignedRequest; give one of it"),
        ({"retry": 5}, "retry is of type int; give RetryPolicy(max_attempts=…)"),
        ({"retry": RetryPolicy}, "give RetryPolicy(max_attempts=…)"),
        (
            {"time_zone": "Asia/Kolkata"},
            "time_zone is of type str; give zoneinfo.ZoneInfo('Asia/Kolkata')",
        ),
        ({"time_zone": 330}, 'time_zone is of type int; give zoneinfo.ZoneInfo("'),
        ({"organization_id": 60012345678}, "organization_id is a number; write it as text: "),
        ({"organization_id": ["1", 2]}, "organization_id is a number; write it as text: "),
        ({"organization_id": ""}, "organization_id must be Zoho's id of the organization"),
        ({"organization_id": []}, "as text, or several of them"),
        ({"organization_id": object()}, "organization_id must be Zoho's id"),
        ({"date_formats": "%d/%m/%Y"}, "give it in a tuple: date_formats=('%d/%m/%Y',)"),
        ({"date_formats": [5]}, "date_formats is of type list; give texts"),
        ({"date_formats": None}, "date_formats is of type NoneType; give texts"),
        ({"hooks": heard}, "hooks is of type function; give callables in a list: hooks=[heard]"),
        ({"hooks": ["heard"]}, "give callables in a list"),
        ({"hooks": (each for each in [heard])}, "hooks is of type generator; give callables in"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"batch_size": 1_001}, "batch_size is at most 1000"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ZohoSync(async_sessionmaker(), **wrong)
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "right",
    [
        {"verifier": SignedRequest(SECRET), "retry": RetryPolicy(), "time_zone": UTC},
        {"time_zone": ZoneInfo("Asia/Kolkata"), "date_formats": ["%d/%m/%Y"], "hooks": (heard,)},
        {"organization_id": "1"},
        {"organization_id": {"1", "2"}},
    ],
)
def test_what_can_work_is_taken(right: dict[str, Any]) -> None:
    ZohoSync(async_sessionmaker(), **right)
