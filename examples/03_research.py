"""Research with sources: sub-agents search and read, and code compares every quote with the page that was read.

Run it with `python examples/03_research.py`. Without RLM_MODEL scripted models play root and sub-agents (no language
model), and one quotes what is not there. Without TAVILY_API_KEY the web is three pages in memory.
"""

import json
import os
import re

from langchain_core.messages import AIMessage

from rlm_agent import Budget
from rlm_agent.testing import ScriptedModel
from rlm_agent_graphs.research import research
from rlm_agent_tools.web import LocalCorpus, SearchResult, web_tools

PAGES = [
    ("https://bridges.example/han", "Hangang Bridge", "The first bridge over the Han at Seoul was opened in 1900."),
    ("https://bridges.example/forth", "Forth Bridge", "The Forth Bridge was opened on 4 March 1890 by the Prince."),
    ("https://bridges.example/tay", "Tay Bridge", "The second Tay Bridge was opened in 1887, after the disaster."),
]
ASK = """```python
wanted = {"type": "object", "required": ["claim", "url", "quote"]}
found = llm_batch([{"prompt": f"When was the {name} Bridge opened?", "schema": wanted} for name in ("Forth", "Tay")])
claims = [r.data for r in found]
text = " ".join(f"{c['claim']} [{n}]." for n, c in enumerate(claims, 1))
answer["content"] = cited(text, claims)
print(answer["content"])
```"""
READY = '```python\nanswer["ready"] = True\n```'


def sub_agent(messages: list) -> AIMessage:
    read = [message.text for message in messages if message.type == "tool"]
    if not read:
        return AIMessage("", tool_calls=[{"name": "web_search", "args": {"query": messages[-1].text}, "id": "1"}])
    url = re.findall(r"https://\S+", read[0])[0]
    if len(read) == 1:
        return AIMessage("", tool_calls=[{"name": "fetch_page", "args": {"url": url}, "id": "2"}])
    quote = re.findall(r"The .* opened .*", read[1])[0].replace("1887", "1878")  # a model's slip
    return AIMessage(
        json.dumps({"claim": f"It was opened in {re.findall(r'1[0-9]{3}', quote)[0]}", "url": url, "quote": quote})
    )


model = os.environ.get("RLM_MODEL")
in_memory = web_tools(LocalCorpus(SearchResult(*page) for page in PAGES))
agent = research(
    model or ScriptedModel([ASK, READY]),
    None if os.environ.get("TAVILY_API_KEY") else in_memory,  # None: the web itself
    sub_model=model or ScriptedModel(sub_agent),
    budget=Budget(usd=1, turns=12),
)
out = agent.invoke({"messages": [("user", "When were the Forth Bridge and the Tay Bridge opened?")]})
print(out["rlm"]["content"])
print("ready:", out["rlm"]["ready"])
