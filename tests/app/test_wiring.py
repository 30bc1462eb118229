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
        ({"verifier": SECRET}, "verifier must be an object with verify(), and no class; give Sig"),
        ({"verifier": SignedRequest}, "and no class; give SignedRequest(secret), or another of"),
        ({"retry": 5}, "retry must be a RetryPolicy; give RetryPolicy(max_attempts=…)"),
        ({"retry": RetryPolicy}, "give RetryPolicy(max_attempts=…)"),
        ({"time_zone": "Asia/Kolkata"}, 'time_zone must be a time zone; give zoneinfo.ZoneInfo("'),
        ({"time_zone": 330}, 'time_zone must be a time zone; give zoneinfo.ZoneInfo("'),
        ({"organization_id": 60012345678}, "of the organization, as text, or several of them; giv"),
        ({"organization_id": ["1", 2]}, 'several of them; give organization_id="60012345678", for'),
        ({"organization_id": ""}, "organization_id must be Zoho's id of the organization"),
        ({"organization_id": []}, "as text, or several of them"),
        ({"organization_id": object()}, "organization_id must be Zoho's id"),
        ({"date_formats": "%d/%m/%Y"}, "date_formats must be texts in a list; give date_formats=("),
        ({"date_formats": [5]}, 'texts in a list; give date_formats=("%d/%m/%Y",)'),
        ({"date_formats": None}, "date_formats must be texts in a list; give"),
        ({"hooks": heard}, "hooks must be callables in a list; give hooks=[heard]"),
        ({"hooks": ["heard"]}, "hooks must be callables in a list; give hooks=[heard]"),
        ({"hooks": (each for each in [heard])}, "hooks must be callables in a list; give hooks="),
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
