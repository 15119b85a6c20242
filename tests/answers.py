"""What several tests look at, asked once in a process: answers to the calls of configurations.py. Nobody changes them."""

import functools

from configurations import CONFIGURATIONS

import mlsysim as ms


@functools.cache
def answer(name, i):
    """As a user asks."""
    return ms.RESOLVERS[name].solve(**CONFIGURATIONS[name][i])


@functools.cache
def recorded(name, i):
    """The call, bound and recorded."""
    return ms.RESOLVERS[name].program(**CONFIGURATIONS[name][i])


@functools.cache
def plainly(name, i):
    """By the plain plan."""
    return ms.RESOLVERS[name].solve(plan="plain", **CONFIGURATIONS[name][i])
