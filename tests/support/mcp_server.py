"""A small real MCP server over stdio (or HTTP, given a port), as `python mcp_server.py [PORT]`, for tests."""

import os
import sys

from mcp.server.fastmcp import FastMCP

server = FastMCP("소품", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def told(name: str) -> str:
    """Says what an environment variable holds, and which process this is."""
    return f"{os.environ.get(name, '없음')} {os.getpid()}"


@server.tool()
def fails(why: str) -> str:
    """Always fails."""
    raise ValueError(why)


@server.tool()
def dies(code: int) -> str:
    """Ends the server."""
    os._exit(code)


if __name__ == "__main__":
    server.run("streamable-http" if len(sys.argv) > 1 else "stdio")
