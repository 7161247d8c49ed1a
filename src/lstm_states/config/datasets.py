"""The parameters of data sets: where each comes from and how it is split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lstm_states.config.strict import Count, Fraction, Seed, Strict


class _SplitByTime(Strict):
    train_fraction: Fraction = 0.6
    validation_fraction: Fraction = 0.1

    @model_validator(mode="after")
    def _leave_a_test_part(self) -> _SplitByTime:
        if self.train_fraction + self.validation_fraction >= 1:
            raise ValueError(
                f"train_fraction {self.train_fraction} + validation_fraction "
                f"{self.validation_fraction} must leave a part for the test"
            )
        return self


class OrderBook(_SplitByTime):
    """The Bitstamp order-book capture, resampled to bars of ``bar_ms`` milliseconds."""

    maker: Literal["order_book"]
    source: Literal["data/sources.yaml"]
    bar_ms: Count
    horizon_bars: Count


class JapaneseVowels(Strict):
    """The utterances of nine speakers; a part of the official training set is for validation."""

    maker: Literal["japanese_vowels"]
    source: Literal["data/sources.yaml"]
    validation_fraction: Fraction
    seed: Seed


class Table(_SplitByTime):
    """A user's CSV or Parquet file; with ``series`` each value of that column is one sequence."""

    maker: Literal["table"]
    source: str
    time: str
    features: Annotated[list[str], Field(min_length=1)]
    target: str
    series: str | None = None
    horizon: Annotated[int, Field(ge=0)] = 0


Dataset = Annotated[OrderBook | JapaneseVowels | Table, Field(discriminator="maker")]
