"""Explorables compute what the package computes, answer the keyboard, and say what they show."""

from __future__ import annotations

import math

import probes
import pytest
import torch

from eqflow.motion import TranslationCell
from eqflow.symmetry import MotionSet, Translation

PAGES = {"velocity": "velocity-said", "edge": "edge-said", "group": "group-said"}


def opened(page, url, name):
    heard = probes.Heard(page, url(""))
    page.goto(url(f"explore/{name}.html"))
    page.locator(f"#{PAGES[name]}").wait_for()
    assert heard.errors == [] and heard.requests == []
    return page.locator(f"#{PAGES[name]}")


def set_slider(page, name, value):
    page.locator(f"#{name}").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", str(value)
    )


def cell_states(x, input_weights, hidden_weights, velocities):
    """States (T, V, C, N) of the package's cell for a video (T, N), with 1-D kernels (C, 3) and (C, C, 3)."""
    U, W = (torch.tensor(w, dtype=torch.float64) for w in (input_weights, hidden_weights))
    cell = TranslationCell(1, len(U), motions=MotionSet(Translation(v, 0) for v in velocities)).double()
    with torch.no_grad():
        for conv, kernel in ((cell.input_conv, U[:, None]), (cell.hidden_conv, W)):
            conv.weight.zero_()
            conv.weight[:, :, 1] = kernel
        h, states = None, []
        for frame in x:
            h = cell(frame[None, None, None], h)
            states.append(cell.slices(h)[0, :, :, 0])
    return torch.stack(states)


def moved(z, nu):
    return torch.stack([torch.roll(f, nu * t, -1) for t, f in enumerate(z)])


def relative(a, b):
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize(("nu", "k", "keep"), [(2, 3, 0.8), (4, 3, 0.8), (-1, 0, 0.4), (0, 2, 0.8)])
def test_velocity_agrees_with_the_package(page, url, nu, k, keep):
    opened(page, url, "velocity")
    found = page.evaluate(
        "([nu, k, keep]) => { const r = eqflow.velocity.run(nu, k, keep); "
        "return [r.error, r.best.error, r.best.slice]; }",
        [nu, k, keep],
    )
    bump = torch.exp(-(((torch.arange(64, dtype=torch.float64) - 16) / 2) ** 2) / 2)
    still = bump.expand(32, 64)
    U, W = [[0, 1 - keep, 0]], [[[0.1 * keep, 0.8 * keep, 0.1 * keep]]]
    target = moved(cell_states(still, U, W, [0]), nu)
    velocities = list(range(-k, k + 1))
    states = cell_states(moved(still, nu), U, W, velocities)
    errors = [relative(states[:, i : i + 1], target) for i in range(len(velocities))]
    assert found[0] == pytest.approx(errors[velocities.index(0)], abs=1e-9)
    assert found[1] == pytest.approx(min(errors), abs=1e-9)
    if abs(nu) <= k:
        assert found[2] == nu and found[1] < 1e-12
    else:
        assert found[1] > 0.05, "a velocity outside of V cannot be exact"


def test_velocity_answers_the_keyboard(page, url):
    said = opened(page, url, "velocity")
    assert float(said.get_attribute("data-fernn")) < 1e-12 < 0.1 < float(said.get_attribute("data-grnn"))
    page.locator("#velocity").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert "is not in V" in said.inner_text() and float(said.get_attribute("data-fernn")) > 0.1
    page.locator("#size").focus()
    page.keyboard.press("ArrowRight")
    assert float(said.get_attribute("data-fernn")) < 1e-12 and page.url.endswith("velocity.html")


@pytest.mark.parametrize(("k", "boost"), [(2, 1), (3, -2), (1, 3)])
def test_edge_agrees_with_the_package(page, url, k, boost):
    opened(page, url, "edge")
    found = page.evaluate(
        "([k, b]) => { const r = eqflow.edge.run(k, b); return [r.errors, r.mean, r.most]; }", [k, boost]
    )
    U, W, video = page.evaluate("[eqflow.edge.U, eqflow.edge.W, eqflow.edge.video().map((f) => [...f])]")
    x, velocities = torch.tensor(video, dtype=torch.float64), list(range(-k, k + 1))
    before = moved(cell_states(x, U, W, velocities), boost)
    after = cell_states(moved(x, boost), U, W, velocities)
    assert found[1] == pytest.approx(relative(after.mean(1), before.mean(1)), abs=1e-9)
    assert found[2] == pytest.approx(relative(after.amax(1), before.amax(1)), abs=1e-9)
    for v, error in zip(velocities, found[0], strict=True):
        assert (error is None) == (v - boost not in velocities)
        assert error is None or error < 1e-12
    assert found[1] > 0.01, "what fell off the edge must be felt by the mean"


def test_edge_says_how_many_slices_are_lost(page, url):
    said = opened(page, url, "edge")
    set_slider(page, "size", 2)
    for boost, lost in ((0, 0), (1, 1), (-3, 3)):
        set_slider(page, "boost", boost)
        assert int(said.get_attribute("data-lost")) == lost == page.locator(".eq-lost").count()
    set_slider(page, "boost", 1)
    few = float(said.get_attribute("data-mean"))
    set_slider(page, "size", 5)
    assert float(said.get_attribute("data-mean")) < few
    for size in range(1, 6):  # what the page says of the maximum
        set_slider(page, "size", size)
        assert float(said.get_attribute("data-most")) > float(said.get_attribute("data-mean"))


def test_group_density_is_one_and_its_samples_are_its_own(page, url):
    opened(page, url, "group")
    total = page.evaluate("""() => { let sum = 0; const h = 0.05;
      for (let x = -12; x < 12; x += h) for (let y = -12; y < 12; y += h)
        sum += Math.exp(eqflow.group.logp(x + h / 2, y + h / 2, 3, 0.5, 0.2)) * h * h; return sum; }""")
    assert total == pytest.approx(1, abs=2e-3)
    mean = page.evaluate(
        "eqflow.group.compare(eqflow.group.samples(40000, 3, 0.5, 0.2), 0, 3, 0.5, 0.2).mean"
    )
    entropy = math.log(2 * math.pi) + 1  # the mean of 2 s over the angles is zero
    assert -mean == pytest.approx(entropy, abs=4 / math.sqrt(40000))


def test_group_is_invariant_under_its_members_alone(page, url):
    said = opened(page, url, "group")

    def gap(order, turn, flaw=0.0):
        for name, value in (("order", order), ("turn", turn), ("flaw", flaw)):
            set_slider(page, name, value)
        return float(said.get_attribute("data-gap"))

    assert gap(4, 90) < 1e-12 and gap(3, 120) < 1e-12 and gap(8, 45) < 1e-12
    assert gap(4, 45) > 0.5 and gap(3, 90) > 0.5
    assert gap(4, 90, 0.2) > 0.5 and gap(4, 360, 0.2) < 1e-12


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_a_label_and_says_its_value(page, url, name):
    opened(page, url, name)
    sliders = page.locator(".eq-explore input")
    assert sliders.count() >= 2
    for slider in sliders.all():
        assert slider.evaluate("e => e.labels.length") == 1 and slider.get_attribute("aria-valuetext")
