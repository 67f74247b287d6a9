"""Installed distributions for tests of plugins: a directory on `sys.path`, with modules and dist-info as of pip."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["PluginSite"]


class PluginSite:
    """A directory that Python takes for one of installed packages."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self._monkeypatch = path, monkeypatch
        path.mkdir()
        monkeypatch.syspath_prepend(str(path))

    def install(self, distribution: str, version: str, plugins: Mapping[str, str], **modules: str) -> None:
        """Lays down a distribution: its plugins (name -> module:object) and its modules (name -> source)."""
        info = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", "utf-8")
        lines = "".join(f"{name} = {place}\n" for name, place in plugins.items())
        (info / "entry_points.txt").write_text(f"[rlm_agent.tools]\n{lines}", "utf-8")
        for name, source in modules.items():
            (self.path / f"{name}.py").write_text(source, "utf-8")
            self._monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
