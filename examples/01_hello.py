"""The smallest run: a question over a text, answered without a key by the offline stand-in (no language model).

Run it with `python examples/01_hello.py`. Give a model's name to use one: `python examples/01_hello.py openai:gpt-5`.
"""

import sys

from rlm_agent import Corpus, create_rlm_agent

TEXT = "\n".join(f"Drawer {n} holds the {colour} key." for n, colour in enumerate(["red", "blue", "green"] * 2000))

agent = create_rlm_agent(sys.argv[1] if len(sys.argv) > 1 else "offline")
out = agent.invoke(
    {
        "messages": [("user", "Which drawer is the first line that mentions 'Drawer 4321'?")],
        "context": Corpus.load(TEXT),
    }
)
print(out["messages"][-1].content)
print(f"\n{out['rlm']['turns']} turns, {out['rlm']['usage']['total']['calls']} calls")
