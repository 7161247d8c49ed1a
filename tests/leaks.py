"""What belongs to the whole process, and must be after a test what it was before."""

import locale
import logging
import os
import sys
from contextlib import contextmanager

import pytest

BY_IMPORTS = {
    "ENABLE_RUNTIME_UPTIME_TELEMETRY", "HDF5_PLUGIN_PATH", "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "TF2_BEHAVIOR", "TPU_ML_PLATFORM",
    "TPU_ML_PLATFORM_VERSION", "_MLFLOW_TELEMETRY_SESSION_ID",
}  # fmt: skip
"""Variables that libraries set when they are imported first, be it within a test."""


@contextmanager
def own_store():
    """Have MLflow use the store of a repository, and afterwards the one that it used before."""
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield
        mlflow.set_tracking_uri(None)  # which sets the variable, too


@contextmanager
def nothing_leaks():
    """Fail where what belongs to the whole process comes out changed; the variables are put back.

    Filters of warnings are not looked at: pytest itself puts them back.
    """
    before, variables = process_state(), dict(os.environ)
    yield
    after = process_state()
    os.environ.clear()
    os.environ.update(variables)
    changed = {
        name: f"{before.get(name, 'unset')!r} before, {after.get(name, 'unset')!r} now"
        for name in before.keys() | after.keys()
        if before.get(name, "unset") != after.get(name, "unset")
    }
    if changed:
        pytest.fail(f"a test doesn't put back what it changes: {changed}", pytrace=False)


def process_state():
    """Return what a test may change for those after it, by name."""
    variables = os.environ.keys() - BY_IMPORTS - {"PYTEST_CURRENT_TEST"}
    return {
        "working directory": os.getcwd(),
        "sys.path": list(sys.path),
        "locale": locale.setlocale(locale.LC_ALL),
        "level of logging": logging.root.level,
        "logging is disabled to": logging.root.manager.disable,
        **{f"variable {name}": os.environ[name] for name in variables},
        **_drawing(sys.modules.get("matplotlib")),
        **_keras(sys.modules.get("keras")),
        **_tensorflow(sys.modules.get("tensorflow")),
        **_mlflow(sys.modules.get("mlflow")),
    }


def _drawing(matplotlib):
    """What differs from matplotlib's own, but for the style that each figure of ours sets."""
    if not matplotlib:
        return {"rcParams": {}}
    seaborn = sys.modules.get("seaborn")
    style = {*seaborn.axes_style(), *seaborn.plotting_context()} if seaborn else set()
    style |= {"axes.prop_cycle", "backend", "backend_fallback", "patch.facecolor"}
    kept, now = matplotlib.rcParamsOrig, matplotlib.rcParams.copy()
    return {"rcParams": {n: v for n, v in now.items() if v != kept[n] and n not in style}}


def _keras(keras):
    if not keras:
        return {"Keras": ["float32", "float32", 1e-7, "channels_last"]}
    config = keras.config
    policy = config.dtype_policy().name
    return {"Keras": [policy, config.floatx(), config.epsilon(), config.image_data_format()]}


def _tensorflow(tensorflow):
    return {"functions run eagerly": bool(tensorflow) and tensorflow.config.functions_run_eagerly()}


def _mlflow(mlflow):
    if not mlflow:
        return {"store of MLflow": None, "run of MLflow": None}
    return {
        "store of MLflow": mlflow.tracking._tracking_service.utils._tracking_uri,
        "run of MLflow": (run := mlflow.active_run()) and run.info.run_id,
    }
