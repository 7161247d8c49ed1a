import numpy as np
import pandas as pd
import pytest

from experiments.data.schema import DataError
from experiments.data.table import make_table

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
    ("column", "change", "row", "message"),
    [
        ("a", lambda c: c.where(c.index != 2), 2, "'a' is empty; it must be a finite number"),
        ("b", lambda c: c.where(c.index != 0, np.inf), 0, "'b' is inf; it must"),
        ("y", lambda c: c.where(c.index != 9), 9, "'y' is empty; "),
        ("a", text_at_row_4, 4, "'a' is 'none'; it must"),
    ],
)
@pytest.mark.parametrize("series", [None, "who"])
@pytest.mark.parametrize("name", ["mine.csv", "mine.parquet"])
def test_a_wrong_value_is_named(tmp_path, table, name, series, column, change, row, message):
    table[column] = change(table[column])
    place = f"row {row + 1}" if name.endswith("parquet") else f"line {row + 2}"
    with pytest.raises(DataError, match=f"^{name}, {place}: {message}"):
        make(tmp_path, table, name, series=series)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace(25, 20), "'t' is 20; it repeats 20 in the row before"),
        (lambda t: t.replace(25, 17), "'t' is 17; it goes back behind 20 in the row before"),
    ],
)
@pytest.mark.parametrize("series", [None, "who"])
def test_a_time_out_of_order_is_named(tmp_path, table, series, change, message):
    table["t"] = change(table["t"])
    with pytest.raises(DataError, match=f"^mine.csv, line 7: {message}"):
        make(tmp_path, table, series=series)


def test_a_missing_time_is_named(tmp_path, table):
    table["t"] = table["t"].where(table.index != 3)
    with pytest.raises(DataError, match="line 5: 't' is empty; it must be"):
        make(tmp_path, table)


@pytest.mark.parametrize("bad", ["yesterday", "2024-13-01", ""])
def test_a_text_that_is_no_date_is_named(tmp_path, table, bad):
    table["t"] = [f"2024-01-{day:02}" if day != 4 else bad for day in range(1, 11)]
    with pytest.raises(DataError, match=f"line 5: 't' is ({bad!r}|empty); .* date such as"):
        make(tmp_path, table)


def test_texts_that_are_no_dates_at_all_are_named(tmp_path, table):
    table["t"] = [f"day {row}" for row in table.index]
    with pytest.raises(DataError, match=r"line 2: 't' is 'day 0'; .* date such as 2024-12-31"):
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
    with pytest.raises(DataError, match=r"line 7: 'who' is 'x'; .* must stand together"):
        make(tmp_path, table, series="who")


def test_a_row_needs_to_say_its_sequence(tmp_path, table):
    table["who"] = [*"xxxzz", None, *"yyyy"]
    with pytest.raises(DataError, match="line 7: 'who' is empty"):
        make(tmp_path, table, series="who")


@pytest.mark.parametrize("horizon", [10, 11])
def test_a_horizon_beyond_the_table_is_refused(tmp_path, table, horizon):
    with pytest.raises(DataError, match=f"horizon is {horizon}; it must be below 10, the rows of"):
        make(tmp_path, table, horizon=horizon)


def test_a_table_without_rows_is_refused(tmp_path, table):
    with pytest.raises(DataError, match=r"mine.csv holds no rows"):
        make(tmp_path, table[:0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "mine.xlsx",
            b"",
            r"mine.xlsx is not a readable table; allowed are .csv, .csv.gz, .parquet",
        ),
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


OTHER_WORLDS = [
    (b"t;a;b;y\n1;2;3;4\n", "line 1: columns are separated by semicolons, in 't;a;b;y'; .*commas"),
    (b"t\ta\tb\ty\n1\t2\t3\t4\n", "line 1: columns are separated by tabs"),
    (b't,a,b,y\n1,2,3,4\n2,"0,5",3,4\n', "line 3: 'a' is '0,5'; .* with a point, as in 0.5"),
    (b"t,a,b,y\n31.12.2024,2,3,4\n", "line 2: 't' is '31.12.2024'; .* such as 2024-12-31"),
    (b"t,a,b,y\n12/31/2024 10:00,2,3,4\n", "line 2: 't' is '12/31/2024 10:00'; .* date such as"),
    (b"t,a,b,y\n\n1,2,3,4\n  \n2,-,4,5\n", "line 5: 'a' is '-'; it must be a finite number"),
    (b"t,a,b,y\n1,2,3,4,5\n2,3,4,5,6\n", "its lines hold more values than line 1 has names"),
    (b"t,a,a,b,y\n1,2,3,4,5\n", "column 'a' appears twice in line 1"),
    ("t,größe,b,y\n1,2,3,4\n".encode("latin-1"), "it is not UTF-8 .*; save it as UTF-8"),
    (b"", "it is empty; line 1 must name the columns"),
    (b"t,a,b,y\n1,2,3,4\n", "mine.csv: the target is 4 throughout; there is nothing to predict"),
    (
        b"t,a,b,y\n2024-01-01T00:00,2,3,4\n2024-01-01T01:00+01:00,3,4,5\n",
        r"line 3: 't' is '2024-01-01T01:00\+01:00'; a UTC offset must appear in all rows or",
    ),
]


@pytest.mark.parametrize(("content", "message"), OTHER_WORLDS)
def test_files_of_other_programs_are_refused_with_what_is_right(tmp_path, content, message):
    (tmp_path / "mine.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        make_table(tmp_path / "mine.csv", **OPTIONS)
    assert "mine.csv" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_byte_order_mark_spaces_and_blank_lines_change_nothing(tmp_path):
    text = "\ufefft, a, b, y\n1, 2, 3, 4\n\n2, 3, 4, 5\n"
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    data = make_table(tmp_path / "mine.csv", **OPTIONS)
    np.testing.assert_array_equal(data["features"], [[2, 3], [3, 4]])
    np.testing.assert_array_equal(data["time"], [1, 2])


NOISE = np.random.default_rng(0).normal(size=60).round(3)


@pytest.mark.parametrize(
    ("horizon", "lag", "where"),
    [
        (0, 0, "is there"), (0, 1, "is 1 rows later"), (0, 7, "is 7 rows later"),
        (5, 0, "is there"), (5, 3, "is 3 rows later"), (5, -4, "is 4 rows before"),
    ],
)  # fmt: skip
def test_a_feature_that_is_the_target_or_its_future_is_refused(tmp_path, horizon, lag, where):
    table = pd.DataFrame({"t": range(40), "a": range(40), "y": NOISE[10:50]})
    table["b"] = NOISE[10 + lag : 50 + lag]
    with pytest.raises(DataError, match=f"the feature 'b' is what the target 'y' {where}"):
        make(tmp_path, table, horizon=horizon)


def test_a_feature_that_ends_a_sequence_as_its_target_is_refused(tmp_path):
    table = pd.DataFrame({"id": np.repeat(range(20), 3), "t": range(60), "a": NOISE})
    table["y"] = np.repeat(NOISE[:20], 3)
    table["b"] = np.where(table["t"] % 3 == 2, table["y"], 0)
    with pytest.raises(DataError, match="in the last row of every sequence the feature 'b' is"):
        make(tmp_path, table, series="id")
    table.loc[59, "b"] += 1
    assert make(tmp_path, table, series="id").sizes["feature"] == 2


@pytest.mark.parametrize(("horizon", "lag"), [(0, -1), (5, -5), (5, -6)])
def test_a_feature_that_is_the_targets_past_is_taken(tmp_path, horizon, lag):
    table = pd.DataFrame({"t": range(40), "a": range(40), "y": NOISE[10:50]})
    table["b"] = NOISE[10 + lag : 50 + lag]
    assert make(tmp_path, table, horizon=horizon).sizes["feature"] == 2
