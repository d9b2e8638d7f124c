"""Every public symbol has one section on the page "API", with an example that prints what it says."""

from __future__ import annotations

import doctest
import importlib

import api_pages
import pytest
import torch

CASES = [(package, name) for package in api_pages.PACKAGES for name in api_pages.examples(package)]


def failures(text: str) -> int:
    """How many of a doctest's examples print something else."""
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "api"}, "example", None, None)
    return doctest.DocTestRunner(verbose=False).run(test).failed


@pytest.mark.parametrize("package", api_pages.PACKAGES)
def test_all_public_symbols_have_their_section(package):
    public = set(importlib.import_module(f"eqflow.{package}").__all__)
    found = set(api_pages.examples(package))
    assert found == public, f"site/api/{package}.md: missing {public - found}; not public {found - public}"


@pytest.mark.parametrize(("package", "name"), CASES)
def test_example(package, name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = api_pages.examples(package)[name]
        assert name in text, "an example of something else"
        assert failures(text) == 0


def test_a_wrong_example_fails(capsys):
    assert failures(">>> 1 + 1\n3\n") == 1
    assert "Expected" in capsys.readouterr().out


def test_a_section_without_example_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(api_pages, "FOLDER", tmp_path)
    (tmp_path / "motion.md").write_text("# motion\n\n### Cell\n\nNo example.\n")
    with pytest.raises(ValueError, match="Cell"):
        api_pages.examples("motion")


def test_page_documents_each_symbol_and_keeps_its_example():
    text = api_pages.page("symmetry")
    for name, example in api_pages.examples("symmetry").items():
        assert f":: eqflow.symmetry.{name}\n" in text and example in text
    assert ".. autoclass:: eqflow.symmetry.Rotation\n" in text
    assert ".. autofunction:: eqflow.symmetry.cyclic\n" in text
