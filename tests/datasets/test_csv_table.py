"""CSV files as data: classes by name, scaled columns, and later rows treated like the training rows."""

import json

import numpy as np
import pytest

from xpgraph import datasets
from xpgraph.datasets import csv_table
from xpgraph.errors import DataError

F4 = np.dtype("float32")


@pytest.mark.parametrize(
    ("labels", "classes", "t"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        (["10", "9", "10"], ("9", "10"), [1, 0, 1]),
        (["1.0", "01", "-2", "1"], ("-2", "1"), [1, 1, 0, 1]),
        (["1", "a", "01"], ("01", "1", "a"), [1, 2, 0]),
        (["0", "0"], ("0",), [0, 0]),
        (["True", "False"], ("False", "True"), [1, 0]),
        (["1e3", "1000"], ("1000",), [0, 0]),
    ],
)
def test_classes_are_numbered_in_order(labels, classes, t):
    found = csv_table.number_classes(labels, "f")
    assert found[1] == classes and found[0].tolist() == t and found[0].dtype == np.int64


def test_later_labels_take_the_numbers_of_the_training():
    assert csv_table.number_classes(["c", "a"], "f", ("a", "b", "c"))[0].tolist() == [2, 0]
    assert csv_table.number_classes(["2.0"], "f", ("1", "2"))[0].tolist() == [1]
    assert csv_table.number_classes(["01"], "f", ("01", "a"))[0].tolist() == [0]
    for label, classes in (("d", ("a", "b")), ("a", ("1", "2")), ("3", ("1", "2"))):
        with pytest.raises(
            DataError, match=rf"Reading f: the label '{label}' is none of the classes of the training: "
        ):
            csv_table.number_classes([label], "f", classes)


def test_measurements_and_ids_are_no_classes():
    with pytest.raises(DataError, match=r"the label '0\.5': expected names or whole numbers .* found a measurement"):
        csv_table.number_classes(["1", "0.5"], "f")
    with pytest.raises(DataError, match="expected classes, found 30 different values in 40 rows"):
        csv_table.number_classes([str(max(0, i - 10)) for i in range(40)], "f")


def big(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)) * [1, 1e6, 1e-3] + [5, -1e6, 0]
    x[:, 2] = 0.1  # constant
    kinds = np.array(["setosa", "versicolor"])[(x[:, 0] > 5).astype(int)]
    rows = "".join(f"{','.join(map(repr, r))},{k}\n" for r, k in zip(x.tolist(), kinds, strict=True))
    return x, kinds, "a,b,c,kind\n" + rows


def test_the_training_rows_decide_the_scale(write):
    _, kinds, text = big()
    (train, t, test, t_test), table = csv_table.load(write(text), "kind", 1, F4)
    assert train.shape == (160, 3) and test.shape == (40, 3) and train.dtype == F4 and t.dtype == np.int64
    assert np.abs(train.mean(axis=0)).max() < 1e-5 and np.abs(train.std(axis=0) - [1, 1, 0]).max() < 1e-5
    assert table.classes == ("setosa", "versicolor") and table.columns == ("a", "b", "c") and table.scale[2] == 1
    assert sorted([*t, *t_test]) == sorted((kinds == "versicolor").astype(int))
    again = csv_table.load(write(text), 4, 1, F4)[0]
    assert all(map(np.array_equal, again, (train, t, test, t_test)))
    assert not np.array_equal(csv_table.load(write(text), "kind", 2, F4)[0][0], train)


def test_later_rows_are_read_as_the_training_was(write):
    _, kinds, text = big()
    (train, *_), table = csv_table.load(write(text), "kind", 1, F4)
    table = csv_table.TableFormat.from_json(json.loads(json.dumps(table.as_json())))
    rows, t = csv_table.load_rows(write(text), table, F4)
    assert {row.tobytes() for row in train} <= {row.tobytes() for row in rows}
    assert t.tolist() == (kinds == "versicolor").astype(int).tolist()
    bare = "\n".join(line.rpartition(",")[0] for line in text.splitlines())
    for other in (bare, bare.partition("\n")[2]):  # without labels, and without a header
        found, labels = csv_table.load_rows(write(other), table, F4)
        assert np.array_equal(found, rows) and labels is None
    with pytest.raises(DataError, match="column 1 of the numbers: expected 'a', as in the training, found 'b'"):
        csv_table.load_rows(write(bare.replace("a,b,c", "b,a,c", 1)), table, F4)
    with pytest.raises(DataError, match="line 1: expected 3 columns, or one more with labels, found 2"):
        csv_table.load_rows(write("1,2\n"), table, F4)
    with pytest.raises(DataError, match="the label 'new' is none of the classes"):
        csv_table.load_rows(write("a,b,c,kind\n1,2,3,new\n"), table, F4)


def test_numbers_too_large_for_the_dtype_are_told(write):
    rows = "".join(f"{10.0**i},{i % 2}\n" for i in range(-30, 0)) + "1e300,0\n"
    table = csv_table.TableFormat("", ("",), ("0", "1"), (0.0,), (1.0,))
    with pytest.raises(
        DataError, match="column 1 of the numbers is not finite as float32 after scaling, first in row 30"
    ):
        csv_table.load_rows(write(rows), table, F4)


@pytest.mark.parametrize("change", [{"columns": ["a"]}, {"shift": ["x", 0, 0]}, {"classes": 3}, {"scale": None}])
def test_a_configuration_that_was_altered_is_refused(write, change):
    stored = csv_table.load(write(big()[2]), "kind", 1, F4)[1].as_json() | change
    with pytest.raises(DataError, match="Reading the format of a run's csv file"):
        csv_table.TableFormat.from_json(stored)
    with pytest.raises(DataError, match="KeyError"):
        csv_table.TableFormat.from_json({})


def test_one_row_cannot_be_split(write):
    with pytest.raises(DataError, match="found one row, which cannot be split"):
        csv_table.load(write("1,2,a\n"), "", 0, F4)


# --- as a data set ---


def test_a_csv_file_is_a_data_set(write):
    path = write(big()[2])
    data = datasets.load(path, label="kind", seed=1)
    assert (data.name, data.classes, data.scale, data.source) == ("mine", 2, 1.0, str(path))
    assert data.x.shape == (160, 3) and data.x.dtype == np.float32 and data.csv.classes == ("setosa", "versicolor")
    x, t = datasets.load_rows(path, csv=data.csv)
    assert x.shape == (200, 3) and t.shape == (200,)
    with pytest.raises(DataError, match=r"mine\.csv: expected the format of the training's .csv file, found none"):
        datasets.load_rows(path)
    np.savez(path.with_suffix(".npz"), x=np.ones((2, 3)))
    with pytest.raises(DataError, match=r"mine\.npz: expected a \.csv file, whose columns are scaled as in training"):
        datasets.load_rows(path.with_suffix(".npz"), csv=data.csv)
    with pytest.raises(DataError, match=r"Loading 'digits': a label is a column of a \.csv file"):
        datasets.load("digits", label="kind")
