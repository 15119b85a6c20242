"""What the docstring of an equation says of it: its meaning, its formula, its unit and who published it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

#: what makes a text in double quotes a formula rather than a name
_FORMULA = re.compile(r"[^\s(]\s*(?:[-+*/^=<>]|\*\*)\s*\S|\w\(|\w \w")
_UNIT = re.compile(r"\((s|bytes?|byte/s|FLOPs?|FLOP/s|tokens?|W|J|USD|USD/s|kg|L|1|1/s)[,;)]|^(Seconds|Bytes) ")
_SECTION = re.compile(r"\n(?:Parameters|Returns|Raises|Notes|References|Examples|Attributes)\n-{3,}\n")
_CITATION = re.compile(r"[A-Z][\w\-]+(?: (?:and|&) [A-Z][\w\-]+| et al\.)? (?:19|20)\d\d[^;\n]*")
_UNITS = {"Seconds": "s", "Bytes": "byte", "bytes": "byte", "FLOPs": "FLOP", "token": "1", "tokens": "1"}


def text(function: Callable[..., Any]) -> str:
    """The docstring, without its indentation."""
    return inspect.getdoc(function) or ""


def meaning(doc: str) -> str:
    """The first sentence.

    >>> meaning("Mean time between failures (s): ``1 / rate``, inf at rate 0.")
    'Mean time between failures (s): ``1 / rate``, inf at rate 0'
    """
    return " ".join(doc.split("\n\n")[0].split()).rstrip(".")


def formula(doc: str) -> str:
    """The first formula, as it stands in double quotes before the sections.

    >>> formula("Mean time between failures (s): ``1 / rate``, inf at rate 0."), formula("0 without ``fleet``.")
    ('1 / rate', '')
    """
    found = re.findall(r"``([^`]+)``", _SECTION.split(doc)[0])
    return next((" ".join(f.split()) for f in found if _FORMULA.search(f)), "")


def unit(doc: str) -> str:
    """The unit that the first sentence states in brackets.

    >>> unit("Mean time between failures (s): ``1 / rate``."), unit("Size of a checkpoint (byte)."), unit("How often.")
    ('s', 'byte', '')
    """
    found = _UNIT.search(re.sub(r"``[^`]*``", "", meaning(doc)))
    word = (found[1] or found[2]) if found else ""
    return _UNITS.get(word, word)


def reference(function: Callable[..., Any]) -> str:
    """Who published an equation: of its own docstring, else of its module."""
    own = text(function)
    section = re.search(r"\nReferences\n-{3,}\n(.*?)(?=\n\n|\n\w+\n-{3,}|\Z)", own, flags=re.S)
    if section:
        return " ".join(section[1].split())
    if cited := _CITATION.search(own):
        return cited[0].strip(" .:")
    return _of_module(function.__module__)


def _of_module(name: str) -> str:
    """The references of a module, and of those that it names instead."""
    module = sys.modules.get(name)
    doc = inspect.cleandoc((module.__doc__ if module is not None else "") or "")
    section = re.search(r"\nReferences\n-{3,}\n(.*?)(?=\n\n|\Z)", doc, flags=re.S)
    text = " ".join(section[1].split()) if section else ""
    if not text.startswith("As in `"):
        return text
    others = [_of_module(other) for other in re.findall(r"`(mlsysim\.[\w.]+)`", text) if other != name]
    return " ".join(filter(None, others)) or text
