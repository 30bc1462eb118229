"""When to try again: within bounds, never before the other side asked, later each time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_sync import RetryPolicy

SECONDS = st.floats(min_value=0.001, max_value=86_400, allow_nan=False)
ATTEMPTS = st.integers(min_value=1, max_value=10_000)


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    base, more = timedelta(seconds=draw(SECONDS)), timedelta(seconds=draw(SECONDS))
    return RetryPolicy(base_delay=base, max_delay=base + more)


@given(policies(), ATTEMPTS, st.floats(min_value=0, max_value=1))
def test_a_delay_is_within_its_bounds(policy: RetryPolicy, attempt: int, jitter: float) -> None:
    delay = policy.delay(attempt, jitter=jitter)
    assert timedelta(0) <= delay <= policy.ceiling(attempt) <= policy.max_delay


@given(policies(), ATTEMPTS)
def test_the_ceiling_never_sinks(policy: RetryPolicy, attempt: int) -> None:
    assert policy.base_delay <= policy.ceiling(attempt) <= policy.ceiling(attempt + 1)


@given(policies(), ATTEMPTS, st.floats(min_value=0, max_value=1), SECONDS)
def test_no_delay_is_shorter_than_was_asked_for(
    policy: RetryPolicy, attempt: int, jitter: float, asked: float
) -> None:
    wanted = timedelta(seconds=asked)
    delay = policy.delay(attempt, jitter=jitter, retry_after=wanted)
    assert delay == max(wanted, policy.delay(attempt, jitter=jitter))


def test_the_ceiling_doubles_up_to_its_limit() -> None:
    policy = RetryPolicy(base_delay=timedelta(seconds=1), max_delay=timedelta(seconds=10))
    assert [policy.ceiling(n).total_seconds() for n in range(6)] == [1, 1, 2, 4, 8, 10]


def test_attempts_are_exhausted_at_the_last() -> None:
    policy = RetryPolicy(max_attempts=3)
    assert [policy.exhausted(attempts) for attempts in (2, 3, 4)] == [False, True, True]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_deaths": 0},
        {"base_delay": timedelta(0)},
        {"base_delay": timedelta(seconds=2), "max_delay": timedelta(seconds=1)},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]  # of several types
