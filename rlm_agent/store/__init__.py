"""The durable home: runs, turns, ledger, blobs, leases, corpora. Imports neither LangGraph nor LangChain."""
