"""Which failures of a provider pass by themselves, and how long it asks to wait."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from rlm_agent.models.setbacks import setback_of


class Response:
    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status_code, self.headers = status, headers


class Refused(Exception):
    def __init__(self, status: int, headers: dict[str, str] | None = None, code: str | None = None) -> None:
        super().__init__("refused")
        self.response, self.code = Response(status, headers or {}), code


class APITimeoutError(Exception):
    pass


class ConnectError(Exception):
    pass


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_statuses_that_pass(status: int) -> None:
    found = setback_of(Refused(status))
    assert found is not None
    assert (str(status) in found.why, found.after) == (True, None)


@pytest.mark.parametrize(
    "error",
    [
        *(Refused(status) for status in (400, 401, 402, 403, 404, 413, 501)),
        Refused(429, code="insufficient_quota"),
        ValueError("no"),
        ConnectionError("of nobody knows what"),
        None,
    ],
    ids=repr,
)
def test_failures_that_another_try_only_repeats(error: Any) -> None:
    assert setback_of(error) is None


def test_no_answer_in_time_and_no_connection() -> None:
    late, nobody = setback_of(APITimeoutError()), setback_of(ConnectError())
    assert late is not None
    assert nobody is not None
    assert (late.unreachable, nobody.unreachable) == (False, True)
    assert "no answer in time" in late.why


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "30", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_the_wait_that_is_asked_for(headers: dict[str, str], after: float | None) -> None:
    found = setback_of(Refused(429, headers))
    assert found is not None
    assert found.after == after


def test_an_http_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    found = setback_of(Refused(503, {"retry-after": at}))
    assert found is not None
    assert found.after is not None
    assert 85 < found.after <= 90
    past = setback_of(Refused(503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    assert past is not None
    assert past.after == 0.0
