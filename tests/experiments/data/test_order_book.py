from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.data.order_book import FEATURES, make_order_book
from experiments.data.schema import DataError

OPTIONS = {"bar_ms": 100, "horizon_bars": 10, "train_fraction": 0.6, "validation_fraction": 0.1}
BAR = np.timedelta64(100, "ms")
SECOND = np.timedelta64(1, "s")


@pytest.fixture(scope="module")
def folder():
    spec = find_spec("ob_analytics")
    if spec is None:
        pytest.skip("the data group is not installed")
    return Path(spec.origin).parent / "_sample_data"


@pytest.fixture(scope="module")
def data(folder):
    """The real capture; rebuilding its book takes most of the time of these tests."""
    return make_order_book(folder, **OPTIONS)


@pytest.fixture(scope="module")
def orders(folder):
    """Every row of the CSV, the snapshot and the deletes at the end marked as made up."""
    rows = pd.read_csv(folder / "orders.csv.gz")
    snapshot = rows["exchange_timestamp"] == rows["exchange_timestamp"].iloc[0]
    assert snapshot.sum() == 6512  # meta.json of the capture says so
    rows["made_up"] = snapshot | (rows["timestamp"] == rows["timestamp"].max())
    rows["time"] = pd.to_datetime(rows["timestamp"], unit="ms")
    return rows


def feature(data, name):
    return data["features"].sel(feature=name).values


def counted(rows, times, span):
    """Number of rows in ``(time, time + span]``, or in ``(time + span, time]`` for the past."""
    at = np.sort(rows["time"].to_numpy())
    edges = (
        np.searchsorted(at, times, side="right"),
        np.searchsorted(at, times + span, side="right"),
    )
    return np.abs(edges[1] - edges[0])


def test_bars_are_even_and_reach_to_the_end(data):
    assert (np.diff(data["time"]) == BAR).all()
    # The last quote before the made-up deletes stands at 03:06:20.5; one second is looked ahead.
    assert data["time"].values[-1] == np.datetime64("2026-05-02T03:06:19.400")
    assert 17_900 < data.sizes["time"] <= 17_970


def test_parts_follow_each_other(data):
    size = data.sizes["time"]
    assert (np.diff(data["part"]) >= 0).all()
    np.testing.assert_allclose(
        np.bincount(data["part"]), [0.6 * size, 0.1 * size, 0.3 * size], atol=1
    )


def test_no_bar_begins_before_the_book_is_whole(data, orders):
    snapshot = orders["time"].iloc[0].to_numpy()
    assert data["time"].values[0] - SECOND >= snapshot


def test_the_snapshot_counts_as_no_event(data, orders):
    # 6512 orders in one bar would be by far the most that any bar has.
    events = np.expm1(feature(data, "log_events"))
    np.testing.assert_allclose(
        events, counted(orders[~orders["made_up"]], data["time"].values, -BAR), atol=0.01
    )


@pytest.mark.parametrize("bar", [100, 5_000, 12_345, -1])
def test_targets_are_what_the_raw_orders_say(data, orders, bar):
    time = data["time"].values[[bar]]
    live = orders[~orders["made_up"]]
    for name, span in (("targets", SECOND), ("persistence", -SECOND)):
        found = data[name].sel(target="log_events_next_second")[bar]
        np.testing.assert_allclose(found, np.log1p(counted(live, time, span))[0], rtol=1e-6)


def test_counts_within_bars_are_what_the_raw_orders_say(data, orders):
    live, rest = orders[~orders["made_up"]], slice(100, None)
    times = data["time"].values[rest]
    total = counted(live, times, -BAR)
    created = counted(live[live["action"] == "created"], times, -BAR)
    bids = counted(live[live["direction"] == "bid"], times, -BAR)
    balance = (2 * bids - total) / np.maximum(total, 1)
    np.testing.assert_allclose(feature(data, "log_created")[rest], np.log1p(created), rtol=1e-6)
    np.testing.assert_allclose(feature(data, "side_balance")[rest], balance, atol=1e-6)


def test_trade_flow_is_what_the_raw_trades_say(data, folder):
    trades = pd.read_csv(folder / "trades.csv")
    at = pd.to_datetime(trades["timestamp"], unit="ms")
    signed = trades["amount"] * trades["side"].map({"buy": 1, "sell": -1})
    bars = pd.cut(at, pd.DatetimeIndex([data["time"].values[0] - BAR, *data["time"].values]))
    flow = signed.groupby(bars, observed=False).sum().to_numpy()
    np.testing.assert_allclose(feature(data, "trade_flow"), flow, atol=1e-5)


def test_a_move_is_a_return_that_is_not_zero(data):
    moves = feature(data, "mid_return") != 0
    next_ten = np.array([moves[bar + 1 : bar + 11].any() for bar in range(len(moves) - 10)])
    target = data["targets"].sel(target="mid_moves_next_second").values
    np.testing.assert_array_equal(target[:-10], next_ten)
    assert 0.05 < target.mean() < 0.95


def test_persistence_is_the_target_of_a_second_ago(data):
    np.testing.assert_array_equal(data["persistence"][10:], data["targets"][:-10])
    np.testing.assert_array_equal(
        feature(data, "log_events_last_second"), data["persistence"][:, 0]
    )
    np.testing.assert_array_equal(feature(data, "mid_moved_last_second"), data["persistence"][:, 1])


def test_values_are_finite_and_in_their_range(data):
    assert tuple(data["feature"].values) == tuple(FEATURES)
    for name in ("features", "targets", "persistence"):
        assert np.isfinite(data[name]).all()
    assert (feature(data, "spread") >= 0).all()
    for name in ("imbalance", "side_balance"):
        assert (np.abs(feature(data, name)) <= 1).all()


def test_the_best_prices_stand_for_volume_that_exists(data):
    """Volumes have 8 decimals: what is left of a level by rounding errors is no level."""
    largest = np.log(1e5 / 1e-8)
    for name in ("bid_volume_change", "ask_volume_change"):
        assert np.abs(feature(data, name)).max() < largest


def test_nothing_depends_on_later_orders(data, orders, folder, tmp_path):
    cut = orders["timestamp"].iloc[0] + 120_000
    raw = orders.drop(columns=["made_up", "time"])
    raw[raw["timestamp"] <= cut].to_csv(tmp_path / "orders.csv.gz", index=False)
    trades = pd.read_csv(folder / "trades.csv")
    trades[trades["timestamp"] <= cut].to_csv(tmp_path / "trades.csv", index=False)
    known = make_order_book(tmp_path, **OPTIONS)
    assert known.sizes["time"] > 1_100
    same = data.sel(time=known["time"])
    for name in ("features", "persistence", "targets"):
        np.testing.assert_array_equal(known[name], same[name])


def test_a_capture_without_orders_columns_is_refused(tmp_path):
    (tmp_path / "orders.csv.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"orders.csv.gz"):
        make_order_book(tmp_path, **OPTIONS)


def test_a_capture_too_short_is_refused(orders, folder, tmp_path):
    raw = orders[orders["timestamp"] <= orders["timestamp"].iloc[0] + 1_500]
    raw.drop(columns=["made_up", "time"]).to_csv(tmp_path / "orders.csv.gz", index=False)
    pd.read_csv(folder / "trades.csv")[:0].to_csv(tmp_path / "trades.csv", index=False)
    with pytest.raises(DataError, match=r"holds no more than .* bars"):
        make_order_book(tmp_path, **OPTIONS | {"horizon_bars": 30})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"orders.csv.gz"):
        make_order_book(tmp_path, **OPTIONS)
