"""What a cell read of the clock and drew of random bytes is on record: a rebuild makes the same variables."""

from pathlib import Path
from typing import Any

import pytest

from rlm_agent import ModelError, create_rlm_agent, open_run
from rlm_agent.store import snapshots
from rlm_agent.store.home import Home
from rlm_agent.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "t"}}
REBUILD: Any = {"configurable": {"thread_id": "t", "rlm_rebuild": True}}
FIRST = """```python
import secrets, time, uuid
from datetime import datetime
started = [time.time(), datetime.now(), uuid.uuid4(), secrets.token_hex(), np.random.default_rng().random()]
asked = str(llm_batch([f"{time.time()} {uuid.uuid4()}"])[0])
after = [time.time_ns(), uuid.uuid4()]
open("note", "w").write(str(after))
```
```python
last = [time.time_ns(), datetime.now(), uuid.uuid4()]
```"""
BEFORE = "```python\nx = 1\n```"
VALUES = "print(started, asked, after, last, open('note').read())"


@pytest.mark.parametrize("resample", [False, True])
def test_times_and_random_bytes_are_rebuilt(resample: bool, tmp_path: Path) -> None:
    with Home(tmp_path / "bench") as home:

        def agent(*replies: Any) -> Any:
            model, sub = ScriptedModel(replies), ScriptedModel(replies=lambda m: f"re {m[-1].content}")
            return create_rlm_agent(model, sub_model=sub, home=home, checkpointer=home.checkpointer)

        with pytest.raises(ModelError):
            agent(BEFORE, FIRST, ModelError("down")).invoke({"messages": [("user", "question")]}, THREAD)
        run = open_run("t", home=home)
        before = run.eval(VALUES).output
        if resample:
            # Another branch of the same reply reads another clock and draws other bytes.
            with pytest.raises(ModelError):
                agent(FIRST, ModelError("down")).invoke(None, branch := run.fork(1, resample=True))
            other = open_run(branch["configurable"]["thread_id"], home=home).eval(VALUES).output
            assert not set(other.split()) & {
                word for word in before.split() if len(word) > 16 and "datetime" not in word
            }
            return
        turn = run.turns[1]
        key = str(home.signatures.snapshot_of(turn.record))
        for blob in {key, *snapshots.keys_of(home.blobs.get(key))}:
            home.blobs.path(blob).unlink(missing_ok=True)
            home.write(lambda c, blob=blob: c.execute("DELETE FROM blobs WHERE key = ?", (blob,)).rowcount).result()
        with pytest.raises(ModelError, match="down"):
            agent(ModelError("down")).invoke(None, REBUILD)
        assert open_run("t", home=home).eval(VALUES).output == before
