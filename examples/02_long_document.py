"""A document that no window holds, and which of its sections answer: the reference of the Python language.

It comes with Python as `pydoc_data`, several hundred thousand characters. Run it with
`python examples/02_long_document.py`. Without RLM_MODEL the offline stand-in answers by search; with it a model does,
following a strategy and bounded in money.
"""

import os
from pydoc_data.topics import topics

from rlm_agent import Budget, Corpus, create_rlm_agent

QUESTION = "Which section mentions '__aiter__'? Say what it must return."

model = os.environ.get("RLM_MODEL", "offline")
agent = create_rlm_agent(
    model,
    tips=[] if model == "offline" else ["search-then-read"],
    budget=Budget(usd=1, turns=20, sub_calls=200),
)

# A dict of name -> text is many documents under their names; one long text does as well.
document = Corpus.load({f"{name}.txt": text for name, text in topics.items()})
print(f"{document['files']} sections, {document['chars']:,} characters")

given = {"messages": [("user", QUESTION)], "context": document}
for mode, data in agent.stream(given, stream_mode=["custom", "values"]):
    if mode == "values":
        out = data
    elif data["type"] == "code":
        print(f"turn {data['turn']}: {data['code'].count(chr(10)) + 1} lines of Python")

print(out["messages"][-1].content)
print(f"\n{out['rlm']['stopped_by']}: {out['rlm']['turns']} turns, {out['rlm']['usage']['total']['calls']} calls")
