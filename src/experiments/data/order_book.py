"""A captured stream of limit orders as evenly spaced bars with targets.

The capture comes with the package ob-analytics: 30 minutes of Bitstamp BTC/USD. The package also
rebuilds the book from the orders. It omits 284 orders that later trades identify as market orders;
to this extent, a bar looks ahead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from experiments.data.catalogue import SplitByTime, register
from experiments.data.parts import split_by_time
from experiments.data.raw import obtain
from experiments.data.schema import DataError
from notebook_pipeline.parameters.strict import Count

FILES = ("orders.csv.gz", "trades.csv")

FEATURES = {
    "mid_return": "bps",
    "spread": "bps",
    "imbalance": "1",
    "bid_volume_change": "ln(BTC/BTC)",
    "ask_volume_change": "ln(BTC/BTC)",
    "log_events": "ln(1 + count)",
    "log_created": "ln(1 + count)",
    "log_events_near_mid": "ln(1 + count)",
    "side_balance": "1",
    "trade_flow": "BTC",
    "log_events_last_second": "ln(1 + count)",
    "mid_moved_last_second": "1 if it moved",
}
"""Features of a bar and their units; none holds a price level, which would drift.

The last two are the targets' quantities over the last ``horizon_bars`` bars.
"""

DRIFTING = {"log_events", "log_created", "log_events_near_mid", "log_events_last_second"}
"""Features whose level wanders with the activity of the market."""

TARGETS = {"log_events_next_second": "ln(1 + count)", "mid_moves_next_second": "1 if it moves"}
"""Targets and their units; their second is ``bar_ms * horizon_bars``, 1000 ms by default."""

DESCRIPTION = (
    "A real capture of 30 minutes as evenly spaced bars. Each bar holds the changes of mid price, "
    "spread and best volumes, and the number of incoming orders; no feature is a price level, "
    "which would drift. The rebuilt book omits 284 orders that later trades identify as market "
    "orders; to this extent, it looks ahead. The data cover thirty minutes of one market on one "
    "day, and no claim reaches beyond them."
)

NEAR_BPS = 2.0
"""Largest distance from the mid price of an event counted as near it, in basis points."""


@register
class OrderBook(SplitByTime):
    """The Bitstamp order-book capture, resampled to bars of ``bar_ms`` milliseconds."""

    maker: Literal["order_book"]
    source: Literal["data/sources.yaml"]
    bar_ms: Count
    horizon_bars: Count

    def make(self, raw: Path, root: Path) -> xr.Dataset:
        """Copy the capture and return its bars."""
        obtained = obtain(self.maker, root / self.source, raw)
        return make_order_book(obtained, **self.model_dump(exclude={"maker", "source"}))


def make_order_book(
    folder: Path,
    *,
    bar_ms: int,
    horizon_bars: int,
    train_fraction: float,
    validation_fraction: float,
) -> xr.Dataset:
    """Return bars of the capture in the layout ``series``; ``time`` is the end of a bar.

    The snapshot at the start and the deletes at the end, which the recorder added, shape the book
    but do not count as events. Bars without a full past or future of ``horizon_bars`` are omitted.

    Args:
        folder: Folder with ``orders.csv.gz`` and ``trades.csv`` as captured.
        bar_ms: Length of a bar in milliseconds.
        horizon_bars: Bars that the targets look ahead and ``persistence`` looks back.
        train_fraction: Share of the bars, from the start, for training.
        validation_fraction: Share of the following bars for validation; the rest is the test part.

    Returns:
        ``features (time, feature)`` of the events up to ``time``; ``targets (time, target)`` over
        the next ``horizon_bars`` bars: log1p of the number of order events, and whether the mid
        price moves at the end of any of them; ``persistence (time, target)``, the same quantities
        over the last ``horizon_bars`` bars; and ``part (time)``.

    Raises:
        DataError: naming the file or column that cannot be used.
    """
    events, quotes, trades = _rebuild(folder)
    bar = np.timedelta64(bar_ms, "ms")
    first, last = (pd.Timestamp(quotes["timestamp"].iloc[i]) for i in (0, -1))
    edges = np.arange(first.ceil(f"{bar_ms}ms").to_datetime64(), last.to_datetime64(), bar)
    if len(edges) <= 2 * horizon_bars:
        raise DataError(f"{folder.name}: {first} to {last} holds no more than {len(edges)} bars")
    top = _top_of_book(quotes, edges)
    bars, counts = _bars(events, trades, top, edges)
    around = _look_around(counts, np.diff(top["mid"]) != 0, horizon_bars)
    data = _dataset(bars, around, edges, horizon_bars)
    data["part"] = split_by_time(data.sizes["time"], train_fraction, validation_fraction)
    return data.assign_attrs(bar_ms=bar_ms, horizon=horizon_bars)


def _rebuild(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return real events, best quotes after each event, and trades, in order of time."""
    book = _run_pipeline(folder / FILES[0])
    events = book.events
    created = events[events["action"] == "created"]
    # The recorder gave all orders of the snapshot one exchange time; live orders came before it.
    snapshot = events["exchange_timestamp"] == created["exchange_timestamp"].mode()[0]
    start, end = events.loc[snapshot, "timestamp"].max(), events["timestamp"].max()
    quotes = book.depth_summary.sort_values("timestamp", kind="stable")
    two_sided = (quotes["best_bid_vol"] > 0) & (quotes["best_ask_vol"] > 0)
    whole = (quotes["timestamp"] >= start) & (quotes["timestamp"] < end)
    return events[~snapshot & (events["timestamp"] < end)], quotes[two_sided & whole], book.trades


def _run_pipeline(orders: Path) -> Any:
    """Rebuild the book of ``orders`` and the trades beside it with ob-analytics."""
    from loguru import logger
    from ob_analytics import BitstampFormat, Pipeline
    from ob_analytics.depth import DepthMetricsEngine, price_level_volume

    class BestQuotes(DepthMetricsEngine):
        """Leave out the volumes around the best quotes, which take long and are not read."""

        def _write_side_metrics(self, side: int, out: np.ndarray) -> None:
            start, end = len(out) // 2 * side, len(out) // 2 * side + 2
            best = (self._best_bid, self._best_ask)[side]
            volume = (self._best_bid_vol, self._best_ask_vol)[side]
            out[start:end] = (0, 0) if best is None else (best, volume)

    class Exact(BitstampFormat):
        """Round what is left of a level: sums of floats leave 1e-18 BTC of an empty one."""

        def compute_depth(self, events: pd.DataFrame, config: Any, *_: Any) -> Any:
            depth = price_level_volume(events)
            depth["volume"] = depth["volume"].round(config.volume_decimals)
            return depth, BestQuotes(config).compute(depth)

    logger.disable("ob_analytics")
    try:
        return Pipeline(format=Exact()).run(str(orders))
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{orders}: {error}") from error


def _top_of_book(quotes: pd.DataFrame, edges: np.ndarray) -> pd.DataFrame:
    """Return the best prices (USD), volumes (BTC) and mid price that stand at each edge."""
    at = np.searchsorted(quotes["timestamp"].to_numpy(), edges, side="right") - 1
    names = {"best_bid_price": "bid", "best_ask_price": "ask"}
    names |= {"best_bid_vol": "bid_volume", "best_ask_vol": "ask_volume"}
    top = quotes[list(names)].rename(columns=names).iloc[at].reset_index(drop=True)
    return top.assign(mid=(top["bid"] + top["ask"]) / 2)


def _bars(
    events: pd.DataFrame, trades: pd.DataFrame, top: pd.DataFrame, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features within each bar (bar, feature) and its number of events (bar,)."""
    side = np.where(events["direction"] == "bid", 1.0, -1.0)
    mid = top["mid"].to_numpy()[_bar_of(events, edges)]
    near = np.abs(events["price"] / mid - 1) * 1e4 <= NEAR_BPS
    flow = trades["volume"] * np.where(trades["direction"] == "buy", 1.0, -1.0)
    total = _sum(np.ones(len(events)), events, edges)
    now, change = top[1:], np.log(top).diff()[1:]
    columns = (
        change["mid"] * 1e4,
        (now["ask"] - now["bid"]) / now["mid"] * 1e4,
        (now["bid_volume"] - now["ask_volume"]) / (now["bid_volume"] + now["ask_volume"]),
        change["bid_volume"],
        change["ask_volume"],
        np.log1p(total),
        np.log1p(_sum(events["action"] == "created", events, edges)),
        np.log1p(_sum(near, events, edges)),
        _sum(side, events, edges) / np.maximum(total, 1),
        _sum(flow, trades, edges),
    )
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1), total


def _bar_of(table: pd.DataFrame, edges: np.ndarray) -> np.ndarray:
    """Return for each row the edge that opens its bar, -1 before the first."""
    return np.searchsorted(edges, table["timestamp"].to_numpy(), side="left") - 1


def _sum(values: np.ndarray | pd.Series, table: pd.DataFrame, edges: np.ndarray) -> np.ndarray:
    return np.bincount(_bar_of(table, edges) + 1, values, len(edges) + 1)[1 : len(edges)]


def _look_around(counts: np.ndarray, moves: np.ndarray, horizon: int) -> np.ndarray:
    """Return the target quantities of the last and the next ``horizon`` bars (2, bar, target)."""
    both = np.stack([counts, moves], axis=1)
    sums = np.lib.stride_tricks.sliding_window_view(both, horizon, axis=0).sum(axis=-1)
    both = np.stack([np.log1p(sums[:, 0]), sums[:, 1] > 0], axis=1).astype(np.float32)
    return np.stack([both[:-horizon], both[horizon:]])


def _dataset(bars: np.ndarray, around: np.ndarray, edges: np.ndarray, horizon: int) -> xr.Dataset:
    dims = ("time", "target")
    features = np.concatenate([bars[horizon - 1 : -horizon], around[0]], axis=1)
    return xr.Dataset(
        {
            "features": (("time", "feature"), features.astype(np.float32)),
            "targets": (dims, around[1], {"long_name": "over the next horizon bars"}),
            "persistence": (dims, around[0], {"long_name": "over the last horizon bars"}),
        },
        coords={
            "time": edges[horizon:-horizon].astype("datetime64[ns]"),
            "feature": list(FEATURES),
            "feature_unit": ("feature", list(FEATURES.values())),
            "drifts": ("feature", [name in DRIFTING for name in FEATURES]),
            "target": list(TARGETS),
            "target_unit": ("target", list(TARGETS.values())),
        },
        attrs={
            "layout": "series",
            "title": "Bitstamp BTC/USD order book",
            "description": DESCRIPTION,
            "source": "sample capture of the package ob-analytics (GPL-2.0-or-later)",
            "capture": f"{edges[0]} to {edges[-1]} UTC",
        },
    )
