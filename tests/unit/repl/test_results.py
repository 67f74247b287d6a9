"""LLMResult is a `str` in every respect, and tells how the call went."""

import copy
import json
import pickle

from rlm_agent.repl.results import LLMResult

REPLY = {
    "text": "답",
    "ok": True,
    "error": None,
    "data": {"a": 1},
    "sources": [{"url": "u"}],
    "usage": {"input_tokens": 3},
    "model": "m",
    "seconds": 0.5,
}


def test_it_is_a_str() -> None:
    result = LLMResult.from_reply(REPLY)
    assert result == "답"
    assert type(str(result)) is str
    assert json.dumps([result]) == '["\\ub2f5"]'
    assert " ".join([result, result]) == "답 답"
    assert {result: 1}["답"] == 1


def test_it_keeps_its_attributes_through_pickle_and_copy() -> None:
    for result in (pickle.loads(pickle.dumps(LLMResult.from_reply(REPLY))), copy.deepcopy(LLMResult.from_reply(REPLY))):
        assert type(result) is LLMResult
        assert vars(result) == {key: value for key, value in REPLY.items() if key != "text"}


def test_a_failed_one_shows_why() -> None:
    failed = LLMResult.from_reply({"text": None, "ok": False, "error": "시간 초과"})
    assert str(failed) == ""
    assert repr(failed) == "LLMResult('', ok=False, error='시간 초과')"
    assert repr(LLMResult("fine")) == "'fine'"
    assert str(LLMResult("partial", ok=False, error="x")) == "partial"
