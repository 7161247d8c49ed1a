"""The commands of this repository beside the engine's: data sets, pages, new experiments."""

from __future__ import annotations

from collections.abc import Sequence

import click

from experiments.forecasting.settings import SECTIONS
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.page_commands import keep_page, page_command
from notebook_pipeline.parameters.file import load_parameters
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.repository import check_loaded_code, project_root


@click.command()
@click.argument("dataset")
def prepare(dataset: str) -> None:
    """Obtain, check and process a data set, a key of `datasets` in params.yaml."""
    from experiments.data.prepare import prepare_dataset

    root = project_root()
    datasets = load_parameters(root).datasets
    if dataset not in datasets:
        hint = near_or_all(dataset, datasets)
        raise ConfigError(f"no data set {dataset!r} in params.yaml; {hint}")
    path = prepare_dataset(dataset, datasets[dataset], root)
    check_loaded_code(root)
    print(f"wrote {path.relative_to(root)}")


@click.command()
@click.argument("name")
@click.option(
    "--data", "datasets", multiple=True, metavar="NAME",
    help="A data set of params.yaml that it reads; can be repeated.",
)  # fmt: skip
@click.option(
    "--dep", "dependencies", multiple=True, metavar="PATH",
    help="Another input file or folder; can be repeated.",
)  # fmt: skip
def new(name: str, datasets: Sequence[str], dependencies: Sequence[str]) -> None:
    """Create your own experiment: a notebook and a folder, ready to run."""
    from experiments.new import make_experiment

    root = project_root()
    for path in make_experiment(name, root, datasets=datasets, dependencies=dependencies):
        print(f"wrote {path.relative_to(root)}")
    print(f"run it alone with `dvc repro {name}`, or with all pages by `make repro`")


@click.command()
@click.argument("name", type=click.Choice(list(SECTIONS)))
def explorer(name: str) -> None:
    """Write the page to explore the states of a configuration."""
    from experiments.explorer import write_states_explorer

    root = project_root()
    keep_page(write_states_explorer(name, root), root)


@click.command(
    add_help_option=False, context_settings={"ignore_unknown_options": True},
)  # fmt: skip
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def inspect(arguments: Sequence[str]) -> int:
    """Inspect a model over data: one report of its states and its traps."""
    from lstm_inspect.command import main

    return main(arguments, program="lstm-states inspect")


COMMANDS = (
    prepare,
    new,
    explorer,
    inspect,
    page_command("claims", "Decide every claim by its rule."),
    page_command("index", "Write the index of all reports."),
)
