"""The ``config.json`` of a checkpoint as values that can be trusted: read, converted and held against bounds."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlsysim.schema.variables import VARIABLES

#: bytes; the largest published configurations have some 100 kB (they list every layer of a quantised model)
LARGEST = 16 * 2**20
#: keys under which a model of several parts keeps its language model
NESTED = ("text_config", "language_config", "llm_config")
FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class ConfigFile:
    """The keys of one configuration; every value is checked when it is asked for.

    Parameters
    ----------
    content : mapping
        What the file holds.
    name : str
        How errors call the file.
    nested : bool
        Is it one part of a file that describes several?
    """

    def __init__(self, content: Mapping[str, Any], name: str, nested: bool = False):
        self.content, self.name, self.nested = content, name, nested

    def refuse(self, key: str, must: str) -> ValueError:
        """The error for a value that cannot be, shortened to one line."""
        shown = repr(self.content.get(key))
        return ValueError(f"{self.name}: {key}={shown if len(shown) <= 40 else shown[:37] + '...'} {must}")

    def first(self, *keys: str) -> str | None:
        """The first of some keys that the file gives."""
        return next((key for key in keys if self.content.get(key) is not None), None)

    def has(self, key: str) -> bool:
        """Does the file say something about a key?"""
        return self.content.get(key) is not None

    def number(self, field: str, *keys: str, least: float = 0.0) -> float | None:
        """A count of the model, by the first of some keys that the file gives; None if it gives none.

        Parameters
        ----------
        field : str
            The input of `mlsysim.schema.variables` whose bounds the value must keep.
        least : float
            Smallest value that makes sense for these keys.
        """
        key = self.first(*keys)
        return None if key is None else self._number(key, field, least)

    def _number(self, key: str, field: str, least: float) -> float:
        value, high = self.content[key], VARIABLES[field].high
        if isinstance(value, (list, tuple)):
            if not value:
                raise self.refuse(key, "is an empty list where a number belongs")
            if any(one != value[0] for one in value):
                raise self.refuse(key, "differs from layer to layer: that is not understood")
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise self.refuse(key, "must be a number")
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise self.refuse(key, "must be a number") from None
        if not math.isfinite(number) or number != math.floor(number):
            raise self.refuse(key, "must be a whole number")
        if number < max(least, VARIABLES[field].low):
            raise self.refuse(key, f"must be at least {max(least, VARIABLES[field].low):g}")
        if number > high:
            raise self.refuse(key, f"must be at most {high:g}")
        return number

    def flag(self, key: str, otherwise: bool) -> bool:
        """True or false, also as text or as 0 and 1."""
        value = self.content.get(key)
        if value is None:
            return otherwise
        if isinstance(value, bool):
            return value
        found = FLAGS.get(str(value).strip().lower()) if isinstance(value, (int, str)) else None
        if found is None:
            raise self.refuse(key, "must be true or false")
        return found

    def text(self, key: str) -> str:
        """A text; empty where the file is silent."""
        value = self.content.get(key)
        if value is not None and not isinstance(value, str):
            raise self.refuse(key, "must be a text")
        return value or ""

    def texts(self, key: str) -> list[str]:
        """A list of texts; empty where the file is silent."""
        value = self.content.get(key)
        if value is None:
            return []
        if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
            raise self.refuse(key, "must be a list of texts")
        return list(value)

    def flags(self, key: str) -> list[bool]:
        """A list of 0 and 1; empty where the file is silent."""
        value = self.content.get(key)
        if value is None:
            return []
        if not isinstance(value, (list, tuple)) or not all(one in (0, 1) for one in value):
            raise self.refuse(key, "must be a list of 0 and 1")
        return [bool(one) for one in value]

    def indices(self, key: str, layers: float) -> list[int]:
        """A list of layers, counted from 0."""
        value = self.content.get(key)
        if not isinstance(value, (list, tuple)) or not all(type(one) is int and 0 <= one < layers for one in value):
            raise self.refuse(key, f"must be a list of layers from 0 to {layers - 1:g}")
        return list(value)

    def by_layer(self, key: str, values: list[Any], layers: float) -> list[Any]:
        """One value for each layer; lists may go on for prediction layers, and nothing may be missing."""
        if values and len(values) < layers:
            raise self.refuse(key, f"differs from layer to layer and has {len(values)} entries for {layers:g} layers")
        return values[: int(layers)]

    def part(self, key: str) -> ConfigFile:
        """An object inside the file, with checks of its own."""
        value = self.content.get(key)
        if not isinstance(value, Mapping):
            raise self.refuse(key, "must be an object of keys and values")
        return ConfigFile(value, f"{self.name}: {key}")

    def filled(self, values: Mapping[str, Any]) -> ConfigFile:
        """The same file with values for keys that it does not name (a key that is null is named)."""
        return ConfigFile({**values, **self.content}, self.name, self.nested)

    def language_model(self) -> ConfigFile:
        """The part that describes the language model, where a file describes several parts."""
        content, name, nested = self.content, self.name, False
        for key in NESTED:
            if isinstance(inner := content.get(key), Mapping):
                tied = {k: v for k, v in content.items() if k == "tie_word_embeddings"}
                content, name, nested = {**tied, **inner}, f"{name}: {key}", True
        return ConfigFile(content, name, nested)


def read(config: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[ConfigFile, str]:
    """A configuration and what its place calls it.

    Parameters
    ----------
    config : path or mapping
        The file, the folder that holds it, or its content.

    Raises
    ------
    ValueError
        No such file, no JSON object in it, or far too much of it.
    """
    if isinstance(config, Mapping):
        return ConfigFile(config, "config"), ""
    if not isinstance(config, (str, os.PathLike)):
        raise ValueError(f"config={config!r}: give the path of a config.json, its folder, or its content as a dict")
    try:
        path = Path(config).expanduser()
        path = path / "config.json" if path.is_dir() else path
        raw = path.read_bytes() if path.stat().st_size <= LARGEST else None
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: no home to expand
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise ValueError(f"{config}: {reason}") from None
    if raw is None:
        raise ValueError(f"{path}: is larger than {LARGEST // 2**20} MiB, so no config.json")
    return ConfigFile(_parsed(raw, str(path)), path.name), path.resolve().parent.name


def _parsed(raw: bytes, name: str) -> Mapping[str, Any]:
    """The JSON object that some bytes hold."""
    if not raw.strip():
        raise ValueError(f"{name}: is empty")
    try:
        content = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"{name}: is no text in UTF-8, so no config.json") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}: is no JSON (line {error.lineno}: {error.msg})") from None
    except RecursionError:
        raise ValueError(f"{name}: is nested too deep for a config.json") from None
    except ValueError:  # a number of thousands of digits
        raise ValueError(f"{name}: holds a number that is too long to be read") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{name}: holds a {type(content).__name__}, where an object of keys and values belongs")
    return content
