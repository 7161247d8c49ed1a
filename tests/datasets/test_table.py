import numpy as np
import pandas as pd
import pytest

from lstm_states.datasets.table import make_table
from lstm_states.errors import DataError

OPTIONS = {
    "time": "t",
    "features": ["a", "b"],
    "target": "y",
    "series": None,
    "horizon": 0,
    "train_fraction": 0.6,
    "validation_fraction": 0.2,
}


@pytest.fixture
def table():
    rows = np.arange(10)
    return pd.DataFrame(
        {"t": rows * 5, "a": rows + 0.5, "b": -rows, "y": 100 + rows, "who": list("xxxzzzzyyy")}
    )


def make(tmp_path, table, name="mine.csv", **options):
    path = tmp_path / name
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return make_table(path, **OPTIONS | options)


@pytest.mark.parametrize("name", ["mine.csv", "mine.csv.gz", "mine.parquet"])
def test_one_series_from_every_format(tmp_path, table, name):
    data = make(tmp_path, table, name)
    np.testing.assert_array_equal(data["time"], table["t"])
    np.testing.assert_array_equal(data["features"].sel(feature="a"), table["a"])
    np.testing.assert_array_equal(data["features"].sel(feature="b"), table["b"])
    np.testing.assert_array_equal(data["targets"].sel(target="y"), table["y"])
    np.testing.assert_array_equal(data["part"], [0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
    assert data["features"].dtype == data["targets"].dtype == np.float32
    assert data.attrs == {
        "title": name, "source": name, "horizon": 0, "description": "", "layout": "series",
    }  # fmt: skip
    assert "persistence" not in data


def test_dates_become_utc_times(tmp_path, table):
    table["t"] = pd.date_range("2024-03-31 00:00", periods=10, freq="h", tz="Europe/Berlin")
    data = make(tmp_path, table)
    assert data["time"].values[0] == np.datetime64("2024-03-30T23:00")
    # The night when clocks go forward loses no hour.
    assert (np.diff(data["time"]) == np.timedelta64(1, "h")).all()


def test_persistence_is_the_target_known_by_then(tmp_path, table):
    data = make(tmp_path, table, horizon=3)
    # y at row 0 looks ahead to row 3: there, and not before, its value is known.
    np.testing.assert_array_equal(data["time"], table["t"][3:])
    np.testing.assert_array_equal(data["targets"][:, 0], table["y"][3:])
    np.testing.assert_array_equal(data["persistence"][:, 0], table["y"][:-3])
    np.testing.assert_array_equal(data["part"], [0, 0, 0, 0, 1, 1, 2])


def test_sequences_in_order_of_appearance(tmp_path, table):
    data = make(tmp_path, table, series="who")
    np.testing.assert_array_equal(data["series"], ["x", "z", "y"])
    np.testing.assert_array_equal(data["length"], [3, 4, 3])
    np.testing.assert_array_equal(
        data["features"].sel(feature="a"),
        [[0.5, 1.5, 2.5, 0], [3.5, 4.5, 5.5, 6.5], [7.5, 8.5, 9.5, 0]],
    )
    np.testing.assert_array_equal(data["targets"][:, 0], [102, 106, 109])
    np.testing.assert_array_equal(data["part"], [0, 0, 2])
    assert data.attrs["layout"] == "sequences"


def test_times_may_start_again_in_the_next_sequence(tmp_path, table):
    table["t"] = [0, 1, 2, 0, 1, 2, 3, 0, 1, 2]
    np.testing.assert_array_equal(make(tmp_path, table, series="who")["length"], [3, 4, 3])


def text_at_row_4(column):
    return column.astype(str).where(column.index != 4, "none")


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("a", lambda c: c.where(c.index != 2), "'a' is .*nan.* at row 2; .*finite number"),
        ("b", lambda c: c.where(c.index != 0, np.inf), "'b' is .*inf.* at row 0"),
        ("y", lambda c: c.where(c.index != 9), "'y' is .*nan.* at row 9"),
        ("a", text_at_row_4, "'a' is .*none.* at row 4; it must be a finite number"),
    ],
)
@pytest.mark.parametrize("series", [None, "who"])
@pytest.mark.parametrize("name", ["mine.csv", "mine.parquet"])
def test_a_wrong_value_is_named(tmp_path, table, name, series, column, change, message):
    table[column] = change(table[column])
    with pytest.raises(DataError, match=message):
        make(tmp_path, table, name, series=series)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace(25, 20), r"'t': time at row {} \(20\) repeats row {} \(20\)"),
        (lambda t: t.replace(25, 17), r"'t': time at row {} \(17\) goes back behind row {} \(20\)"),
    ],
)
@pytest.mark.parametrize(("series", "rows"), [(None, (5, 4)), ("who", (2, 1))])
def test_a_time_out_of_order_is_named(tmp_path, table, series, rows, change, message):
    table["t"] = change(table["t"])
    where = "series 'z': " if series else "^"
    with pytest.raises(DataError, match=where + "column " + message.format(*rows)):
        make(tmp_path, table, series=series)


def test_a_missing_time_is_named(tmp_path, table):
    table["t"] = table["t"].where(table.index != 3)
    with pytest.raises(DataError, match=r"'t' is .*nan.* at row 3"):
        make(tmp_path, table)


@pytest.mark.parametrize("bad", ["yesterday", "2024-13-01", ""])
def test_a_text_that_is_no_date_is_named(tmp_path, table, bad):
    table["t"] = [f"2024-01-{day:02}" if day != 4 else bad for day in range(1, 11)]
    with pytest.raises(DataError, match=f"'t' is .*({bad or 'nan'}).* at row 3, no time"):
        make(tmp_path, table)


def test_texts_that_are_no_dates_at_all_are_named(tmp_path, table):
    table["t"] = [f"day {row}" for row in table.index]
    with pytest.raises(DataError, match="'t' is 'day 0' at row 0, no time"):
        make(tmp_path, table)


@pytest.mark.parametrize(
    "option",
    [{"time": "date"}, {"features": ["a", "date"]}, {"target": "date"}, {"series": "date"}],
)
def test_a_missing_column_is_named_with_those_there(tmp_path, table, option):
    with pytest.raises(
        DataError, match=r"'date' is missing; there are \['t', 'a', 'b', 'y', 'who'\]"
    ):
        make(tmp_path, table, **option)


def test_rows_of_a_sequence_stand_together(tmp_path, table):
    table["who"] = list("xxzzzxxyyy")
    with pytest.raises(DataError, match="'who': the rows of 'x' don't stand together"):
        make(tmp_path, table, series="who")


def test_a_row_needs_to_say_its_sequence(tmp_path, table):
    table["who"] = [*"xxxzz", None, *"yyyy"]
    with pytest.raises(DataError, match=r"'who' is .* at row 5"):
        make(tmp_path, table, series="who")


@pytest.mark.parametrize("horizon", [10, 11])
def test_a_horizon_beyond_the_table_is_refused(tmp_path, table, horizon):
    with pytest.raises(DataError, match="'time' is empty"):
        make(tmp_path, table, horizon=horizon)


def test_a_table_without_rows_is_refused(tmp_path, table):
    with pytest.raises(DataError, match=r"mine.csv holds no rows"):
        make(tmp_path, table[:0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.xlsx", b"", r"mine.xlsx is no table .* allowed are .csv, .csv.gz, .parquet"),
        ("mine.csv", b"", "mine.csv can't be read: "),
        ("mine.csv", b"t,a\n1,2\n1,2,3,4\n", "mine.csv can't be read: "),
        ("mine.csv", b"t,a\n\xff\xfe,1\n", "mine.csv can't be read: "),
        ("mine.csv.gz", b"t,a,b,y\n", "mine.csv.gz can't be read: "),
        ("mine.parquet", b"PAR1", "mine.parquet can't be read: "),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        make_table(tmp_path / name, **OPTIONS)


@pytest.mark.parametrize("name", ["mine.csv.gz", "mine.parquet"])
def test_a_file_cut_off_is_named(tmp_path, table, name):
    make(tmp_path, table, name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{name} can't be read: "):
        make_table(tmp_path / name, **OPTIONS)


def test_a_compressed_file_with_changed_bytes_is_named(tmp_path, table):
    make(tmp_path, table, "mine.csv.gz")
    content = bytearray((tmp_path / "mine.csv.gz").read_bytes())
    content[40:60] = b"\xff" * 20
    (tmp_path / "mine.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"mine.csv.gz can't be read: "):
        make_table(tmp_path / "mine.csv.gz", **OPTIONS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"mine.csv does not exist"):
        make_table(tmp_path / "mine.csv", **OPTIONS)
