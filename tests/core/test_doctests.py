import doctest
import importlib
import pkgutil

import pytest

import facegate.core

MODULES = [f"facegate.core.{module.name}" for module in pkgutil.iter_modules(facegate.core.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_the_core_gives_what_it_says(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", ["facegate.core.rates", "facegate.core.counted"])
def test_each_rate_has_an_example(name):
    module = importlib.import_module(name)
    public = [getattr(module, found) for found in getattr(module, "__all__", ["counted"])]
    rates = [one for one in public if callable(one) and not isinstance(one, type) and one.__module__ == name]
    bare = [one.__name__ for one in rates if ">>>" not in (one.__doc__ or "")]
    assert bare == (["beta_cdf", "checked"] if name.endswith("rates") else [])
