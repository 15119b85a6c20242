"""Configurations on the Hugging Face hub: ``hf://org/name`` or ``hf://org/name@revision``.

huggingface_hub (extra ``hub``) fetches them: it brings its cache, the token of the user for gated models, proxies and
verified connections.  Only the small files that describe a checkpoint are fetched, never weights.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

SCHEME = "hf://"
_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+?)(@[\w./-]+)?/?")


def is_named(name: object) -> bool:
    """Does a text name a model of the hub?"""
    return isinstance(name, str) and name.strip().startswith(SCHEME)


def fetched(name: str) -> tuple[Path, str]:
    """The folder with the ``config.json`` of a model (and its ``hf_quant_config.json``, where it has one), and what it is called.

    Raises
    ------
    ValueError
        No such name, huggingface_hub is not installed, or the file cannot be had.
    """
    found = _NAME.fullmatch(name.strip())
    if found is None:
        raise ValueError(f"model={name!r}: write hf://organisation/name, as in hf://Qwen/Qwen3-32B")
    repository, revision = found[1], found[2][1:] if found[2] else None
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        raise ValueError(
            f"model={name!r}: needs huggingface_hub (pip install 'mlsysim-sweep[hub]'); or give the path of its config.json"
        ) from None
    try:
        path = Path(hub.hf_hub_download(repository, "config.json", revision=revision))
    except Exception as error:  # what the hub, the network and the disk raise has no one ancestor
        raise ValueError(f"model={name!r}: its config.json cannot be had ({_told(error)})") from None
    try:
        hub.hf_hub_download(repository, "hf_quant_config.json", revision=revision)
    except Exception as error:
        if "EntryNotFound" not in type(error).__name__:  # the file is there, and without it the format would be unknown
            raise ValueError(f"model={name!r}: its hf_quant_config.json cannot be had ({_told(error)})") from None
    return path.parent, repository


def _told(error: Exception) -> str:
    """The first line of an error, with its kind."""
    line = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {' '.join(line.split())[:200]}"
