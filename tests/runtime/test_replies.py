"""Errors about replies are redis-py's own, whoever raised them; others stay what they are."""

from __future__ import annotations

import pytest
from redis.exceptions import InvalidResponse, ResponseError

from healer.runtime.replies import strange, understood


@pytest.mark.parametrize("error", [TypeError("unhashable"), IndexError(), ValueError(), AttributeError()])
def test_a_misunderstood_reply_is_one_error(error: Exception) -> None:
    with pytest.raises(InvalidResponse, match="is it Redis") as caught, understood():
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [UnicodeError("label empty or too long"), OSError(), ResponseError("ERR no")]
)
def test_what_says_more_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, understood():
        raise error
    assert caught.value is error


def test_an_error_of_the_server_is_itself() -> None:
    refusal = ResponseError("NOPERM")
    assert strange(refusal) is refusal
    assert isinstance(strange([]), InvalidResponse)
