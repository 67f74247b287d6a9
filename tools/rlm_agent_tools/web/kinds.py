"""What kind of document a body is, by what its server says and by its first bytes. Pure."""

import re

from langchain_core.tools import ToolException

__all__ = ["charset_of", "kind_of"]

_HTML = re.compile(rb"\s*(<!doctype\s+html|<html|<head|<body)", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{2,40})", re.IGNORECASE)
_TEXTUAL = ("application/json", "application/xml", "application/javascript", "application/x-ndjson", "application/yaml")
_UNSAID = ("", "application/octet-stream", "binary/octet-stream")


def kind_of(content_type: str, body: bytes) -> str:
    """ "html", "pdf" or "text".

    Raises:
        ToolException: it is none of these.
    """
    said = content_type.partition(";")[0].strip().lower()
    if body[:1024].lstrip().startswith(b"%PDF-"):
        return "pdf"
    if said in ("text/html", "application/xhtml+xml"):
        return "html"
    if said.startswith("text/") or said in _TEXTUAL or said.endswith(("+json", "+xml")):
        return "text"
    if said in _UNSAID:
        return "html" if _HTML.match(body[:1024]) else "text"
    name = said if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,60}", said) else "of an unknown kind"
    raise ToolException(f"The document is {name}; only HTML, PDF and text are read.")


def charset_of(content_type: str) -> str:
    """The charset that a server told, or ""."""
    found = _CHARSET.search(content_type)
    return found[1] if found else ""
