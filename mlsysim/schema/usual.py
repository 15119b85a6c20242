"""Defaults that follow what a call is about: a number for most, and the rule by which some rows get another.

A kernel takes them as the default of an input, ``seq_len=SEQ_LEN``; the engine enters what follows as if it had been given, so
that it shows as a coordinate of the answer (and in ``attrs["assumed"]``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Usual(float):
    """A default that follows another input.

    Attributes
    ----------
    follows : str
        The input that it follows: one that picks rows of the zoo, or a number.
    rule : callable
        From the row, or the number, to the value.
    says : str
        The rule in words, as the schema shows it.
    """

    follows: str
    rule: Callable[[Any], float]
    says: str

    def __new__(cls, value: float, follows: str, rule: Callable[[Any], float], says: str) -> Usual:
        self = super().__new__(cls, value)
        self.follows, self.rule, self.says = follows, rule, says
        return self

    def __getnewargs__(self) -> tuple[float, str, Callable[[Any], float], str]:  # type: ignore[override]
        return float(self), self.follows, self.rule, self.says


TOKENS = 2048.0  #: of a sequence, where nobody says
STEP_TOKENS = 2.0**22  #: of a training step: Llama 2 (Touvron et al. 2023, arXiv:2307.09288) and the start of Llama 3


def positions(model: Any) -> float:
    """Tokens of a usual sequence of a model: 2,048, or its positions where it has fewer (BERT 512, ViT-B/16 197)."""
    return min(TOKENS, float(model["max_context"] or TOKENS))


def prompt(model: Any) -> float:
    """Tokens of a usual prompt: 2,048, or half of the positions of a model that has fewer than 4,096."""
    return min(TOKENS, float((model["max_context"] or 2.0 * TOKENS) // 2.0))


def sequences(seq_len: float) -> float:
    """Sequences of a step of 4 Mi tokens, at least one.

    >>> sequences(2048.0), sequences(8192.0), sequences(1e7)
    (2048.0, 512.0, 1.0)
    """
    return float(max(round(STEP_TOKENS / seq_len), 1))


SEQ_LEN = Usual(TOKENS, "model", positions, "2048, or the positions of the model where it has fewer")
PROMPT = Usual(TOKENS, "model", prompt, "2048, or half of the positions of the model where it has fewer than 4096")
GLOBAL_BATCH = Usual(sequences(TOKENS), "seq_len", sequences, "as many sequences as make 4 Mi tokens (Llama 2)")
