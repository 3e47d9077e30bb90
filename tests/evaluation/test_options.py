"""Options: every one is read, both spellings work, and what is wrong ends in one line."""

import ast
from pathlib import Path

import pytest

from mar.errors import ConfigError
from mar.evaluation.options import DECISION_METHODS, RunOptions, parse_options
from mar.execution.options import PLACES

CHECKOUT = Path(__file__).resolve().parents[2]


def parse(*argv):
    return parse_options(RunOptions, argv, description="test")


def refusal(*argv):
    with pytest.raises(ConfigError) as error:
        parse(*argv)
    assert "\n" not in str(error.value)
    return str(error.value)


def options_read():
    """Every attribute that is read of `o`, `options` or `self.options`, outside of options.py."""
    names = set()
    for path in [*(CHECKOUT / "mar").rglob("*.py"), *(CHECKOUT / "experiments").rglob("*.py")]:
        if path.name == "options.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"o", "options", "self.options"}:
                names.add(node.attr)
    return names


def test_every_option_is_read_somewhere():
    names = {"decision" if name == "decision_method" else name for name in RunOptions.model_fields}  # a property
    elsewhere = {"extend", *PLACES}  # read where every command line is, and where work is handed out
    assert names - elsewhere <= options_read()


def test_every_option_has_a_help_text():
    assert all(field.description for field in RunOptions.model_fields.values())


def test_without_arguments_every_option_has_its_default():
    assert parse() == RunOptions()


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (("--train_limit", "4"), "train_limit", 4),
        (("--train-limit", "4"), "train_limit", 4),
        (("--train-telemetry-csv", "a.csv"), "train_telemetry_csv", Path("a.csv")),
        (("--train_telemetry_csv=a.csv",), "train_telemetry_csv", Path("a.csv")),
        (("--no-baselines",), "baselines", False),
        (("--paper-faithful",), "paper_faithful", True),
        (("--dry_run",), "dry_run", True),
        (("--without", "baseline", "entropy"), "without", ("baseline", "entropy")),
        (("--cost_rate", "auto"), "cost_rate", "auto"),
        (("--cost-rate", "0"), "cost_rate", 0.0),
        (("--domain", "Math"), "domain", "Math"),
        (("--arrival-rate", "120/min"), "arrival_rate", "120/min"),
    ],
)
def test_both_spellings_mean_the_same_option(argv, name, value):
    assert getattr(parse(*argv), name) == value


@pytest.mark.parametrize(("published", "decision"), DECISION_METHODS.items())
def test_published_names_of_decisions_are_understood(published, decision):
    assert parse("--decision_method", published).decision == decision


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--limit", "-1"), ("--limit", "'-1'", "greater than or equal to 0")),
        (("--test-limit", "many"), ("--test_limit", "'many'", "integer")),
        (("--concurrency", "0"), ("--concurrency", "greater than 0")),
        (("--lr", "nan"), ("--lr", "a finite number")),
        (("--max_cost", "inf"), ("--max_cost", "a finite number")),
        (("--max_cost", "-0.5"), ("--max_cost", "greater than or equal to 0")),
        (("--cost_rate", "-1"), ("--cost_rate", "'-1'", "auto or a number")),
        (("--cost_rate", "nan"), ("--cost_rate", "auto or a number")),
        (("--cost_rate", "cheap"), ("--cost_rate", "'cheap'", "auto or a number")),
        (("--limt", "3"), ("--limt", "--help")),
        (("--show_tests", "none"), ("--show_tests", "'none'", "first")),
        (("--arrival_pattern", "tidal"), ("--arrival_pattern", "microburst")),
        (("--limit",), ("--limit", "expected one argument")),
        (("--without", "luck"), ("--without", "'luck'", "learned_scale")),
        (("--checkpoint", "a", "--paper_faithful"), ("--paper_faithful", "--checkpoint")),
        (("--checkpoint", "a", "--without", "entropy"), ("--without", "--checkpoint")),
        (("stray",), ("stray",)),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_option(argv, says):
    message = refusal(*argv)
    assert all(part in message for part in says), message


def test_no_abbreviation_is_taken_for_an_option():
    assert "--epoch" in refusal("--epoch", "3")


def test_a_run_may_be_resumed_with_another_place_for_results_and_a_higher_limit_of_cost_only():
    base = parse()
    free = parse("--out", "a", "--result_file", "b", "--train_telemetry_csv", "c", "--max_cost", "1", "--dry_run")
    assert free.identity() == base.identity()
    for other in (
        ("--seed", "1"),
        ("--lr", "0.1"),
        ("--limit", "3"),
        ("--show_tests", "all"),
        ("--without", "entropy"),
    ):
        assert parse(*other).identity() != base.identity()


def test_help_shows_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as exit_:
        parse("--help")
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    assert all(f"--{name}" in text for name in RunOptions.model_fields)
