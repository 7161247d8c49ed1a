"""The command `lstm-states`: what the stages of dvc.yaml call."""

from __future__ import annotations

import argparse
import sys

from lstm_states.claims import LedgerError
from lstm_states.config import CONFIGURATIONS, TRIALS, ConfigError, load_params, project_root
from lstm_states.schema import DataError

# jsonschema, under nbformat, would import it and so build a grammar of addresses: more than a
# second at each start, for a check that no schema of notebooks asks for. None makes it go without.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 1 with a few lines on stderr if it failed."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except KeyboardInterrupt:
        print("lstm-states: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if not isinstance(
            error, ConfigError | DataError | LedgerError
        ) and not _is_experiment_error(error):
            raise
        print(f"lstm-states: {error}", file=sys.stderr)
        return 1
    return 0


def _is_experiment_error(error: Exception) -> bool:
    # By name: importing the runner costs seconds that `prepare` doesn't need.
    return type(error).__name__ in ("ExperimentError", "ReproError")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lstm-states", description="Run parts of the pipeline.")
    commands = parser.add_subparsers(required=True, metavar="command")
    prepare = commands.add_parser("prepare", help="obtain, check and process a data set")
    prepare.add_argument("dataset", help="a key of `datasets` in params.yaml")
    prepare.set_defaults(command=_prepare)
    run = commands.add_parser("run", help="run a notebook and write its report")
    run.add_argument("configuration", choices=(*CONFIGURATIONS, *TRIALS))
    run.set_defaults(command=_run)
    compare = commands.add_parser("compare", help="write the index of all reports")
    compare.set_defaults(command=_compare)
    repro = commands.add_parser("repro", help="run all stages that have changed, side by side")
    repro.add_argument(
        "--jobs", type=_jobs, metavar="N", help="stages at a time; what the machine allows if left"
    )
    repro.set_defaults(command=_repro)
    claims = commands.add_parser("claims", help="decide every claim by its rule")
    claims.set_defaults(command=_claims)
    return parser


def _prepare(options: argparse.Namespace) -> None:
    from lstm_states.datasets import prepare_dataset

    root = project_root()
    datasets = load_params(root / "params.yaml").datasets
    if options.dataset not in datasets:
        raise ConfigError(f"no data set {options.dataset!r} in params.yaml: {list(datasets)}")
    path = prepare_dataset(options.dataset, datasets[options.dataset], root)
    print(f"wrote {path.relative_to(root)}")


def _run(options: argparse.Namespace) -> None:
    from lstm_states.pipeline.runner import run_experiment

    root = project_root()
    report = run_experiment(options.configuration, root)
    print(f"wrote {report.relative_to(root)}/report.html")


def _compare(_: argparse.Namespace) -> None:
    from lstm_states.pipeline.compare import write_index

    root = project_root()
    print(f"wrote {write_index(root).relative_to(root)}")


def _claims(_: argparse.Namespace) -> None:
    from lstm_states.pipeline.ledger import write_claims

    root = project_root()
    print(f"wrote {write_claims(root).relative_to(root)}")


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _repro(options: argparse.Namespace) -> None:
    from lstm_states.pipeline.parallel import default_jobs, reproduce

    if not reproduce(project_root(), options.jobs or default_jobs()):
        print("everything is up to date")
