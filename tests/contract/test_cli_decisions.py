"""What another program's run asks of a person, answered by `rlm resume` in new processes when that one has ended."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai_server
import pytest
import waiting_run
from command_line import COMMAND, Ended, Rlm
from plugin_site import PluginSite
from provider import tool_call

OPTIONS = ("--model", "openai:gpt-5", "--tool", "desk")
PLUGIN = '''
import os
from langchain_core.tools import tool

@tool
def send(what: str) -> str:
    """Sends something."""
    with open(os.environ["SENT"], "a") as file:
        file.write(f"{what}\\n")
    return f"sent {what}"
'''
CELL = """
try:
    answer["content"] = [str(each) for each in llm_batch(task.split())]
except RuntimeError as error:
    answer["content"] = str(error)
answer["ready"] = True"""


class Desk:
    """A provider, a plugin whose tool sends, and processes that share a home."""

    def __init__(self, root: Path, server: openai_server.OpenAIServer, site: Path) -> None:
        self.root, self.server = root, server
        server.answer = self._answer
        self.environment = {
            **os.environ,
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "sk-local-0123456789",
            "PYTHONPATH": str(site),
            "RLM_HOME": str(root / "home"),
            "SENT": str(root / "sent"),
        }

    def _answer(self, body: dict[str, Any]) -> Any:
        if "You are the root" in str(body["messages"][0]["content"]):
            return f"```python\n{CELL}\n```"
        last = body["messages"][-1]
        return last["content"] if last["role"] == "tool" else tool_call("send", {"what": last["content"]})

    @property
    def asked(self) -> int:
        """Requests so far, of root and sub-agents."""
        return len(self.server.requests)

    @property
    def sent(self) -> list[str]:
        file = self.root / "sent"
        return file.read_text().split() if file.exists() else []

    def process(self, *command: str) -> Ended:
        """A new process, to its end."""
        done = subprocess.run(command, env=self.environment, cwd=self.root, capture_output=True, text=True, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)

    def program(self, *asked: str) -> list[Any]:
        """What waits on each thread: (id, arguments). The program that started the runs has ended."""
        done = self.process(sys.executable, str(waiting_run.__file__), str(self.root / "home"), *asked)
        assert done.code == 0, done.err[-3000:]
        return [json.loads(line) for line in done.out.splitlines()]

    def resume(self, thread: str, *answer: str) -> Ended:
        return self.process(*COMMAND, "resume", thread, *OPTIONS, *answer)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    site = PluginSite(tmp_path / "site", monkeypatch)
    site.install("desk-plugin", "1.0", {"desk": "desk_plugin:send"}, desk_plugin=PLUGIN)
    with openai_server.serve() as server:
        yield Desk(tmp_path, server, site.path)


def shown(ended: Ended) -> dict[str, str]:
    """What each question on stderr is about, and the command that it says answers it."""
    pattern = r"waiting for you: a sub-agent wants to call send\n.*\n    (\{.*\})\nanswer: (.*)"
    return {json.loads(args)["what"]: command for args, command in re.findall(pattern, ended.err)}


REJECTED = "Error: a person rejected this call, and it was not run: 아니오"


def test_a_call_is_approved_in_a_new_process_and_another_rejected(
    desk: Desk, rlm: Rlm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in desk.environment.items():
        monkeypatch.setenv(name, value)
    waiting_run.main(str(desk.root / "home"), "하나 둘", "send")
    (waits,) = map(json.loads, capsys.readouterr().out.splitlines())
    ids = {args["what"]: id_ for id_, args in waits}
    assert (sorted(ids), desk.asked, desk.sent) == (["둘", "하나"], 3, [])
    half = desk.resume("하나 둘", "--approve", "--id", ids["둘"][:8])
    assert (half.code, half.out) == (4, ""), half.err
    assert shown(half) == {"하나": "rlm resume '하나 둘' --approve | --reject WHY | --reply TEXT"}
    assert (desk.asked, desk.sent) == (3, []), "the sub-agents go on together"
    done = rlm("resume", "하나 둘", *OPTIONS, "--reject", "아니오")
    assert (done.code, json.loads(done.out)) == (0, [REJECTED, "sent 둘"]), done.err
    assert (desk.asked, desk.sent) == (3 + 2, ["둘"]), "nothing is asked again"


@pytest.mark.slow
def test_three_are_answered_in_three_ways(desk: Desk) -> None:
    (waits,) = desk.program("하나 둘 셋", "send")
    ids = {args["what"]: id_[:8] for id_, args in waits}
    asked = desk.resume("하나 둘 셋")
    options = "--approve | --reject WHY | --reply TEXT"
    assert shown(asked) == {what: f"rlm resume '하나 둘 셋' --id {id_} {options}" for what, id_ in ids.items()}
    for wrong in (("--approve",), ("--reject", "x", "--id", "zz")):
        refused = desk.resume("하나 둘 셋", *wrong)
        assert (refused.code, refused.out, desk.sent) == (2, "", []), refused.err
        assert all(id_ in refused.err for id_ in ids.values())
    assert desk.resume("하나 둘 셋", "--reject", "아니오", "--id", ids["셋"]).code == 4
    assert desk.resume("하나 둘 셋", "--approve", "--id", ids["하나"]).code == 4
    done = desk.resume("하나 둘 셋", "--reply", "이미 보냄")
    assert (done.code, json.loads(done.out)) == (0, ["sent 하나", "이미 보냄", REJECTED]), done.err
    assert (desk.asked, desk.sent) == (4 + 3, ["하나"])


@pytest.mark.slow
def test_one_batch_is_approved_and_one_rejected(desk: Desk) -> None:
    desk.program("하나 둘", "llm_batch", "셋 넷", "llm_batch")
    assert (desk.asked, desk.sent) == (2, [])
    asked = desk.resume("하나 둘")
    assert (asked.code, desk.asked) == (4, 2)
    assert "the root wants to send a batch" in asked.err
    assert "answer: rlm resume '하나 둘' --approve | --reject WHY\n" in asked.err
    wrong = desk.resume("하나 둘", "--reply", "yes")
    assert (wrong.code, desk.asked) == (2, 2)
    assert "answer again" in wrong.err
    done = desk.resume("하나 둘", "--approve")
    assert (done.code, json.loads(done.out)) == (0, ["sent 하나", "sent 둘"]), done.err
    assert (desk.asked, sorted(desk.sent)) == (2 + 4, sorted(["하나", "둘"]))
    refused = desk.resume("셋 넷", "--reject", "비싸다")
    assert refused.code == 0, refused.err
    assert refused.out == "a person refused this batch, and nothing was sent: 비싸다\n"
    assert (desk.asked, len(desk.sent)) == (2 + 4, 2)
