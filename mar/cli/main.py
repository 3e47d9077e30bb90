"""The `mar` command."""

from __future__ import annotations

from typing import Annotated

import typer

from mar.cli.ask import ask_command, plan_command
from mar.cli.batch import batch_command
from mar.cli.cache import cache_app
from mar.cli.chat import chat_command
from mar.cli.data import data_app
from mar.cli.keys import keys_app
from mar.cli.learn import learn_command
from mar.cli.loadtest import loadtest_command
from mar.cli.log import log_app
from mar.cli.pool import pool_command
from mar.cli.probe import probe_command
from mar.cli.report import report_command
from mar.cli.rollout import rollout_app
from mar.cli.route import register as register_route
from mar.cli.routereval import register as register_routereval
from mar.cli.script import run_app
from mar.cli.serve import serve_command
from mar.cli.train import register as register_train
from mar.cli.ui import ui_command
from mar.cli.vllm import vllm_app


def _spelled(word: str) -> str:
    """Both spellings of every option: --cost_rate is --cost-rate."""
    return word.replace("_", "-")


app = typer.Typer(
    name="mar",
    help="A runtime for multi-agent LLM systems whose shape is learned.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"token_normalize_func": _spelled},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mar {version('mar')}")
        raise typer.Exit


@app.callback()
def _options(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("ask")(ask_command)
app.command("chat")(chat_command)
app.command("plan")(plan_command)
app.command("pool")(pool_command)
app.command("probe")(probe_command)
app.command("report")(report_command)
app.command("serve")(serve_command)
app.command("ui")(ui_command)
app.command("batch")(batch_command)
app.command("learn")(learn_command)
app.command("loadtest")(loadtest_command)
app.add_typer(cache_app, name="cache")
app.add_typer(data_app, name="data")
app.add_typer(keys_app, name="keys")
app.add_typer(log_app, name="log")
app.add_typer(rollout_app, name="rollout")
app.add_typer(vllm_app, name="vllm")
register_route(app)
register_train(app)
register_routereval(app)


def main() -> None:
    """Run the command; something wrong that the caller gave ends with one line and exit status 2."""
    run_app(app)
