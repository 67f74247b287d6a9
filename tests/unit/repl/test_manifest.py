"""The manifest is what the host reads of a snapshot: its form, its Python, its leaves."""

import pytest

from rlm_agent.repl.manifest import FORM, KEY_BYTES, Manifest, ManifestError


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = Manifest("3.11", b"a" * KEY_BYTES + b"b" * KEY_BYTES, b"body")
    assert Manifest.decode(manifest.encode()) == manifest
    assert manifest.key_list() == [b"a".hex() * KEY_BYTES, b"b".hex() * KEY_BYTES]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", Manifest("3.11", b"short", b"").encode()])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        Manifest.decode(data)


def test_another_form_is_named() -> None:
    data = Manifest("3.11", b"", b"").encode().replace(bytes([FORM]), bytes([FORM + 1]), 1)
    with pytest.raises(ManifestError, match=f"form {FORM + 1}, this version knows {FORM}"):
        Manifest.decode(data)
