"""The commands behind the Makefile: what they print, their exit codes, and errors in one line."""

import os

import pytest

from eqflow.study import __main__ as cli
from eqflow.study.notebooks import reproduce as runner


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_PUBLISHED", str(tmp_path / "results"))
    monkeypatch.setenv("EQFLOW_CACHE", str(tmp_path / "cache"))


def test_why_says_one_line_per_run(capsys):
    assert cli.main(["why", "--nb", "12", "--profile", "smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "notebook 12: 6 runs" and all("missed" in line for line in lines[1:])


def test_train_then_why(capsys):
    assert (
        cli.main(["train", "--nb", "12", "--profile", "smoke", "--engine", "serial", "--device", "cpu"]) == 0
    )
    assert capsys.readouterr().out.count("finished") == 6
    assert cli.main(["why", "--nb", "12", "--profile", "smoke"]) == 0
    assert capsys.readouterr().out.count("hit") == 6


def test_one_model_alone(capsys):
    assert cli.main("why --nb 12 --profile smoke --model grnn".split()) == 0
    assert capsys.readouterr().out.startswith("notebook 12: 1 runs")
    assert cli.main("train --nb 12 --profile smoke --model lstm".split()) == 2
    assert "no runs of lstm; the models are: convlstm, " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "--nb", "77"], "no runs are declared for 77"),
        (["plan", "--nb", "77"], "no notebook"),
        (["reproduce", "--nb", "77", "--profile", "smoke"], "no notebook"),
        (["train", "--device", "tpu"], "expected DEVICE"),
        (["plan", "--engine", "nope"], "expected an engine of"),
    ],
)
def test_requests_that_cannot_be_carried_out(capsys, arguments, message):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["dance"],
        ["train", "--profile", "fast"],
        ["train", "--budget", "0"],
        ["train", "--hours", "0"],
        ["train", "--workers", "0"],
        ["plan", "-p", "SEED"],
    ],
)
def test_malformed_command_lines(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


def test_options_reach_the_runner(monkeypatch):
    seen = []
    monkeypatch.setattr(runner, "reproduce", lambda request: seen.append(request) or 0)
    line = "reproduce --nb 01,12 --nb 90 --profile quick --budget 0.1 --data real --fresh --hours 2 -p SEED=4"
    assert cli.main([*line.split(), "-p", "NAME=x"]) == 0
    (request,) = seen
    assert request.wanted == ["01", "12", "90"] and request.level.name == "quick" and request.fresh
    assert request.budget == 0.1 and request.data == "real" and request.hours == 2
    assert request.parameters == {"SEED": 4, "NAME": "x"}


def test_engine_and_workers_reach_the_training(monkeypatch):
    seen = []
    monkeypatch.setattr(runner, "run_all", lambda specs, **options: seen.append(options) or [])
    assert cli.main("train --nb 12 --profile smoke --engine dask --workers 3 --device cuda".split()) == 0
    (options,) = seen
    assert (options["engine"], options["workers"], str(options["device"])) == ("dask", 3, "cuda")


def test_a_device_that_is_not_here_is_refused_unless_the_training_goes_elsewhere(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    line = "plan --nb 12 --profile smoke --device cuda --engine"
    assert cli.main([*line.split(), "processes"]) == 2
    assert "expected a CUDA device" in capsys.readouterr().err
    assert cli.main([*line.split(), "submitit", "--workers", "8"]) == 0
    assert "with 8 runs at a time" in capsys.readouterr().out
    assert cli.main("reproduce --nb 12 --profile smoke --device cuda --engine submitit".split()) == 2
    assert "expected a CUDA device" in capsys.readouterr().err  # the notebooks need it


def test_a_plan_for_more_workers_is_shorter(capsys):
    minutes = {}
    for workers in ("1", "3"):
        assert (
            cli.main(["plan", "--nb", "12", "--profile", "quick", "--device", "cpu", "--workers", workers])
            == 0
        )
        line = capsys.readouterr().out.splitlines()[-1]
        minutes[workers] = float(line.removeprefix("Expected in all: ").partition(" ")[0])
    assert minutes["3"] < 0.7 * minutes["1"]


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(request):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "reproduce", interrupted)
    assert cli.main(["reproduce"]) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_check_results(tmp_path, capsys, monkeypatch):
    assert cli.main(["check-results"]) == 0
    assert "nothing is published" in capsys.readouterr().out
    folder = tmp_path / "results/smoke/provenance"
    folder.mkdir(parents=True)
    (folder / "01_bump.json").write_text('{"notebook": "01_bump", "status": "failed", "error": "x"}')
    assert cli.main(["check-results", "--profile", "smoke"]) == 1
    assert "smoke/01_bump: failed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["PROFILE", "DATA", "DEVICE", "FRESH"])
def test_parameters_do_not_pass_the_options_by(capsys, name):
    assert cli.main(["reproduce", "-p", f"{name}=paper"]) == 2
    assert f"expected --{name.lower()} for {name}; got -p" in capsys.readouterr().err


def test_relative_data_are_relative_to_where_the_command_is_given(tmp_path, monkeypatch):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EQFLOW_DATA", "my data")
    monkeypatch.setattr(runner, "reproduce", lambda request: seen.append(os.environ["EQFLOW_DATA"]) or 0)
    assert cli.main(["reproduce"]) == 0 and seen == [str(tmp_path / "my data")]
