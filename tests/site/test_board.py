"""The scoreboard page: every row with its figure, rule, command, and our number beside the published one."""

from __future__ import annotations

import re

import pytest
import tiny
from eqflow_site.bars import bars
from eqflow_site.called import called, said
from eqflow_site.pictures import natural_size
from eqflow_site.table import board_html, evidence, standing, summary, with_sd
from eqflow_site.words import WORDS, rule_in_words

from eqflow.study.verdicts import load_claims
from eqflow.study.verdicts.claims import RULES

REGISTER = load_claims()


@pytest.fixture
def board(tmp_path):
    quick = tiny.results(tmp_path)
    return board_html([tiny.ROW], REGISTER, evidence(quick), quick / "figures")


def test_row_has_all_that_it_promises(board):
    assert '<tbody id="A5" data-paper="motion" data-verdict="same direction">' in board
    assert 'src="figures/01_bump/lag.png"' in board
    assert f'alt="{tiny.ALT}"' in board
    assert "FERNN-V2 0.0006 ± 0.0001" in board and "G-RNN 0.0014 ± 8.9e-06" in board
    assert "FERNN-V2 better than G-RNN" in board
    assert "<code>make reproduce NB=01 PROFILE=quick</code>" in board
    assert 'href="notebooks/01_bump.html#figure-lag"' in board
    assert "toys, quick profile, budget 1" in board and "black 0.06" in board


def test_without_script_it_is_a_table_with_every_row(board):
    assert board.count("<tbody") == 1 and not re.search(r"<(tbody|tr)[^>]* hidden", board)
    assert re.search(r'class="eq-filter"[^>]* hidden>', board)  # what only a script can do is not shown


def test_figure_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="expected the figure 01_bump/lag"):
        board_html([tiny.ROW], REGISTER, {}, tmp_path)


def test_unknown_claim_is_an_error(tmp_path):
    with pytest.raises(KeyError):
        board_html([tiny.ROW | {"id": "Z9"}], REGISTER, {}, tmp_path)


def test_every_rule_of_the_register_has_words():
    assert set(WORDS) == set(RULES) - {"control_above"}
    for claim in REGISTER.values():
        said = rule_in_words(claim.rule, claim.better)
        assert said.endswith(".") and "': " not in said and "None" not in said, (claim.id, said)
    with pytest.raises(ValueError, match="expected words for the rule 'guess'"):
        rule_in_words({"guess": 1})


def test_words_say_the_numbers_of_the_rule():
    assert "below 1e-12" in rule_in_words({"tolerance": 1e-12, "control_above": 0.1})
    assert "c4 / plain below 0.9" in rule_in_words({"ratio": {"of": "c4", "to": "plain", "below": 0.9}})
    assert "of: " not in rule_in_words({"difference": [{"of": "a", "to": "b"}, {"of": "c", "to": "d"}]})
    assert "a and b better than c" in rule_in_words({"order": [["a", "b"], "c"]})


def test_standing_says_what_the_counts_rest_on():
    row = {"verdict": "verified", "profile": "quick"}
    assert "stand-in" in standing([row]) and standing([row]).endswith("so far: 0.")
    real = {"verdict": "reproduced", "profile": "paper"}
    assert standing([row, real]) == "Published numbers reproduced so far: 1."


def test_summary_counts_every_row():
    rows = [{"verdict": v} for v in ("verified", "differs", "verified")]
    assert summary(rows) == "3 claims: 2 verified, 1 differs."


def test_spread_stands_beside_its_mean():
    assert with_sd("a 1; b 2 [1, 3]; c d 4", "a .1; c d .2") == "a 1 ± .1; b 2 [1, 3]; c d 4 ± .2"


def test_models_are_called_as_in_the_figures():
    assert called("fernn_v2_seen 0.006; grnn 0.05") == "FERNN-V2 seen 0.006; G-RNN 0.05"
    assert called("own_velocity 0.87; V={-1,0,1} 9e-05") == "own velocity 0.87; V={-1,0,1} 9e-05"
    assert called("explain the c48") == "explain the c48", "a part of a word is no name"
    assert said("fernn_v2 = 0.2; rule: -inf < fernn_v2 < 0.5") == "FERNN-V2 = 0.2; rule: FERNN-V2 < 0.5"
    assert (
        said("a - b = 1; rule: above -0; c = 1; rule: above -0.1")
        == "a - b = 1; rule: above 0; c = 1; rule: above -0.1"
    )


def circles(svg: str, kind: str) -> list[float]:
    return [float(x) for x in re.findall(rf'<circle class="{kind}" cx="([\d.]+)"', svg)]


def test_bars_keep_the_order_of_the_numbers():
    svg = bars({"a": 1.0, "b": 3.0}, {"a": 0.1}, {"a": [2.0, 2.2], "b": [2.5]})
    (a, b), (ours_a, ours_b) = circles(svg, "published"), circles(svg, "ours")
    assert a < ours_a < ours_b < b
    assert "published 1, ours 2.1" in svg
    wide = bars({"a": 1e-4, "b": 1.0}, {}, {"a": [1e-2], "b": [1.0]})  # logarithmic: half-way is half-way
    (a, b), (ours_a, _) = circles(wide, "published"), circles(wide, "ours")
    assert ours_a == pytest.approx((a + b) / 2, abs=0.2)


def test_no_bars_without_a_number_of_both():
    assert bars({"a": 1.0}, {}, {"b": [1.0]}) == bars({}, {}, {"b": [1.0]}) == ""


def test_pictures_tell_their_size(tmp_path):
    svg = tmp_path / "a.svg"
    svg.write_text('<?xml version="1.0"?>\n<svg height="72pt" viewBox="0 0 9 9" width="36.0pt" xmlns="x">')
    assert natural_size(svg) == (48, 96)
    assert natural_size(tiny.results(tmp_path) / "figures/01_bump/lag.png") == (96, 48)
    svg.write_text('<svg height="72" width="36">')
    with pytest.raises(ValueError, match="expected width and height in pt"):
        natural_size(svg)
