"""CSV files: the header rule, labels, scaling, what later rows are read with, and what is refused with its place."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpgraph import csvdata, csvfile, datasets
from xpgraph.errors import DataError

IRIS = "sepal,petal,species\n5.1,1.4,setosa\n7.0,4.7,versicolor\n6.3,6.0,virginica\n"
F4 = np.dtype("float32")


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.csv"):
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / name

    return write


def rows_of(table):
    return [[*row, label] for row, label in zip(table.x.tolist(), table.labels, strict=True)]


# --- what is read ---


def test_a_header_names_the_columns(write):
    table = csvfile.read(write(IRIS))
    assert table.columns == ("sepal", "petal") and table.label == "species" and table.x.dtype == np.float64
    assert rows_of(table) == [[5.1, 1.4, "setosa"], [7.0, 4.7, "versicolor"], [6.3, 6.0, "virginica"]]


def test_without_a_header_the_first_line_is_a_row(write):
    table = csvfile.read(write("1,2,0\n3,4,1\n"))
    assert rows_of(table) == [[1, 2, "0"], [3, 4, "1"]] and table.columns == ("", "") and table.label == ""
    assert rows_of(csvfile.read(write("1,2,a\n")))[0] == [1, 2, "a"]
    assert rows_of(csvfile.read(write("x,y,7\n1,2,a\n"))) == [
        [1, 2, "a"]
    ]  # what the label's cell holds decides nothing


@pytest.mark.parametrize(
    ("text", "label", "labels"),
    [
        (IRIS, "species", ["setosa", "versicolor", "virginica"]),
        (IRIS, "sepal", None), (IRIS, 3, ["setosa", "versicolor", "virginica"]),
        (IRIS, "3", ["setosa", "versicolor", "virginica"]),
        ("k,a,b\nx,1,2\n", "k", ["x"]), ("k,a,b\nx,1,2\n", 1, ["x"]), ("x,1,2\ny,3,4\n", 1, ["x", "y"]),
        ("3,a,b\nq,1,2\n", "3", ["q"]),  # a name counts before a number
        ("5.5,3,x\n6.5,3,y\n", "3", ["x", "y"]),  # but a value is no name
    ],
)  # fmt: skip
def test_the_label_is_chosen_by_name_or_number(write, text, label, labels):
    if labels is None:  # then the species are left among the numbers
        with pytest.raises(DataError, match=r"line 2, column 3 \(species\): expected a finite number, found 'setosa'"):
            csvfile.read(write(text), label)
    else:
        assert csvfile.read(write(text), label).labels == labels


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + IRIS, IRIS.replace("\n", "\r\n"), IRIS.replace("\n", "\n\n"), "\n  \n" + IRIS, IRIS.rstrip(),
        IRIS.replace("setosa", '"setosa"').replace("5.1", '"5.1"'), IRIS.replace(",", " , "), "\ufeff\r\n" + IRIS,
        '"sepal","petal","species"' + IRIS[IRIS.index("\n"):], IRIS.replace("5.1", "+51e-1"),
    ],
)  # fmt: skip
def test_the_same_table_in_other_forms(write, text):
    table = csvfile.read(write(text))
    assert table.columns == ("sepal", "petal") and rows_of(table) == rows_of(csvfile.read(write(IRIS)))


def test_quoted_cells_hold_commas_quotes_and_line_ends(write):
    table = csvfile.read(write('"a, ""b""\nc",label\n1,"x, ""y""\nz"\n2,w\n'))
    assert table.columns == ('a, "b"\nc',) and table.labels == ['x, "y"\nz', "w"]
    with pytest.raises(DataError, match=r"line 5, column 1 \(a, \"b\"\nc\): expected a finite number, found 'no'"):
        csvfile.read(write('"a, ""b""\nc",label\n1,"x, ""y""\nz"\nno,w\n'))


def test_names_in_any_script(write):
    table = csvfile.read(write("长度,宽度,品种\n1,2,山鸢尾\n"), "品种")
    assert table.columns == ("长度", "宽度") and table.labels == ["山鸢尾"]


def test_thousands_of_columns_and_rows(write):
    width, x = 5000, np.random.default_rng(0).standard_normal((40, 5000))
    text = ",".join(f"c{i}" for i in range(width)) + ",t\n"
    text += "".join(",".join(map(repr, row)) + f",{i % 2}\n" for i, row in enumerate(x.tolist()))
    table = csvfile.read(write(text))
    assert np.array_equal(table.x, x) and table.columns[-1] == "c4999"  # to the bit: repr and float are exact
    many = csvfile.read(write("1,2,3\n" * 50_000))
    assert many.x.shape == (50_000, 2) and len(many.labels) == 50_000


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)), min_size=1))
def test_what_pythons_csv_writes_is_read(tmp_path_factory, rows):
    import csv

    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        csv.writer(file).writerows([[value, "_" + text] for value, text in rows])
    try:
        table = csvfile.read(path)
    except DataError as error:  # what no text file holds
        assert re.search(r"zero byte|CR alone|UTF-8|divided by commas", str(error))
    else:
        assert table.x[:, 0].tolist() == [value for value, _ in rows]
        assert table.labels == [("_" + text).strip() for _, text in rows]


# --- what is refused, and where ---


REFUSED = [
    ("", "line 1: expected rows, found an empty file"),
    ("\n\n", "expected rows, found an empty file"),
    ("a,b\n", "line 1: expected rows after the header, found none"),
    ("1\n2\n", "line 1: expected a column of labels and others, found one column"),
    ("1;2;a\n", "expected cells divided by commas, found semicolons. Save it with commas"),
    ("1\t2\ta\n", "expected cells divided by commas, found tabs"),
    ("1,2,a\n3,b\n", "line 2: expected 3 columns as in the first line, found 2"),
    ("1,2,a\n\n\n3,4,5,b\n", "line 4: expected 3 columns as in the first line, found 4"),
    ("x,y,t\n1,,a\n", r"line 2, column 2 \(y\): expected a number, found '', a missing one. Fill it in"),
    ("x,y,t\n1,2,a\n1,NA,a\n", r"line 3, column 2 \(y\): expected a number, found 'NA', a missing one"),
    ("1,2,a\n?,2,a\n", "line 2, column 1: expected a number, found '\\?', a missing one"),
    ("1,2,a\nnan,2,a\n", "line 2, column 1: expected a number, found 'nan', a missing one"),
    ("1,2,a\n1,inf,a\n", "line 2, column 2: expected a finite number, found 'inf'"),
    ("1,2,a\n1,1e999,a\n", "column 2: expected a finite number, found '1e999'"),
    ("1,2,a\n1,1_000,a\n", "column 2: expected a finite number, found '1_000'"),
    ('1,2,a\n1,"1,5",a\n', "column 2: expected a finite number, found '1,5'. Write numbers as 1234.5"),
    ("1,2,a\n1,0x10,a\n", "column 2: expected a finite number, found '0x10'"),
    ("1,2,a\n1,3,\n", "line 2, column 3: expected a label, found '', a missing one"),
    ("1,2,a\n1,3,NaN\n", "line 2, column 3: expected a label, found 'NaN'"),
    ("1,?,a\n2,3,b\n", "line 1, column 2: expected a number as beside it, or a header of names alone, found '\\?'"),
    ("land,1990,1991,t\n1,2,3,a\n", "line 1, column 1: expected a number as beside it, or a header .*, found 'land'"),
    (
        ",x,t\n0,1,a\n",
        r"line 1, column 1: expected a name, found none. If it is an index, as pandas .*to_csv\(index=Fa",
    ),
    (",,\n1,2,3\n", "line 1: expected values, found commas alone"),
    ("1,2,a\n,,\n", "line 2: expected values, found commas alone"),
    (b"1,2,a\n1,2,\xe9t\xe9\n", "line 2: expected text in UTF-8, found the byte e9 at place 5. Save the file as UTF-8"),
    ("1,2,setosa\n".encode("utf-16"), "line 1: expected text in UTF-8, found utf-16"),
    ("1,2,setosa\n".encode("utf-16-le"), "line 1: expected text, found a zero byte at place 2"),
    (b"PK\3\4 a workbook", "expected text in UTF-8, found a zip file"),
    (b"\x1f\x8b packed", "expected text in UTF-8, found gzip"),
    (b"1,2,a\r3,4,b\r", "line 1: expected lines that end in LF or CR LF, found a CR alone"),
    ('1,2,"a\n3,4,b\n', "line 1: expected cells divided by commas, quoted whole or not at all, found unexpected end"),
    ('1,2,"a"b\n', "line 1: expected cells divided by commas, quoted whole"),
    ("1,2,a\n" + '3,4,"' + "b\n" * 200_000, "line 2: expected cells divided by commas, .*larger than field limit"),
    ("1" + "0" * (5 << 20), "line 1: expected at most 4194304 bytes, found more"),
    ("," * (1 << 20), "line 1: expected at most 262144 columns, found more"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_cannot_be_right_is_refused_with_line_and_column(write, text, words):
    path = write(text)
    with pytest.raises(DataError, match=words) as caught:
        csvfile.read(path)
    assert str(caught.value).startswith(f"Reading {path}: ") and re.search(r"\. [A-Z].*\.$|\)\.$", str(caught.value))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("kind", "line 1: expected a column called 'kind', found sepal, petal, species. Name one .* from 1 to 3"),
        (0, "expected a column called '0', found sepal"), (4, "expected a column called '4', found"),
        (-1, "expected a column called '-1'"), ("9" * 30, "expected a column called '9999"),
    ],
)  # fmt: skip
def test_a_label_that_is_not_there_is_told_with_those_that_are(write, label, words):
    with pytest.raises(DataError, match=words):
        csvfile.read(write(IRIS), label)
    with pytest.raises(DataError, match="expected a column called 'kind', found no header"):
        csvfile.read(write("1,2,a\n"), "kind")
    with pytest.raises(DataError, match="expected one column called 'a', found 2"):
        csvfile.read(write("a,a,b\n1,2,3\n"), "a")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv", "absent.csv", "a\0b.csv"):
        with pytest.raises(DataError, match=re.escape(f"Reading {tmp_path / name}: ")):
            csvfile.read(tmp_path / name)


# --- classes and scales ---


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
    found = csvdata.number_classes(labels, "f")
    assert found[1] == classes and found[0].tolist() == t and found[0].dtype == np.int64


def test_later_labels_take_the_numbers_of_the_training():
    assert csvdata.number_classes(["c", "a"], "f", ("a", "b", "c"))[0].tolist() == [2, 0]
    assert csvdata.number_classes(["2.0"], "f", ("1", "2"))[0].tolist() == [1]
    assert csvdata.number_classes(["01"], "f", ("01", "a"))[0].tolist() == [0]
    for label, classes in (("d", ("a", "b")), ("a", ("1", "2")), ("3", ("1", "2"))):
        with pytest.raises(
            DataError, match=rf"Reading f: the label '{label}' is none of the classes of the training: "
        ):
            csvdata.number_classes([label], "f", classes)


def test_measurements_and_ids_are_no_classes():
    with pytest.raises(DataError, match=r"the label '0\.5': expected names or whole numbers .* found a measurement"):
        csvdata.number_classes(["1", "0.5"], "f")
    with pytest.raises(DataError, match="expected classes, found 30 different values in 40 rows"):
        csvdata.number_classes([str(max(0, i - 10)) for i in range(40)], "f")


def big(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)) * [1, 1e6, 1e-3] + [5, -1e6, 0]
    x[:, 2] = 0.1  # constant
    kinds = np.array(["setosa", "versicolor"])[(x[:, 0] > 5).astype(int)]
    return (
        x,
        kinds,
        "a,b,c,kind\n" + "".join(f"{','.join(map(repr, r))},{k}\n" for r, k in zip(x.tolist(), kinds, strict=True)),
    )


def test_the_training_rows_decide_the_scale(write):
    _, kinds, text = big()
    (train, t, test, t_test), kept = csvdata.load(write(text), "kind", 1, F4)
    assert train.shape == (160, 3) and test.shape == (40, 3) and train.dtype == F4 and t.dtype == np.int64
    assert np.abs(train.mean(axis=0)).max() < 1e-5 and np.abs(train.std(axis=0) - [1, 1, 0]).max() < 1e-5
    assert kept.classes == ("setosa", "versicolor") and kept.columns == ("a", "b", "c") and kept.scale[2] == 1
    assert sorted([*t, *t_test]) == sorted((kinds == "versicolor").astype(int))
    again = csvdata.load(write(text), 4, 1, F4)[0]
    assert all(map(np.array_equal, again, (train, t, test, t_test)))
    assert not np.array_equal(csvdata.load(write(text), "kind", 2, F4)[0][0], train)


def test_later_rows_are_read_as_the_training_was(write):
    _, kinds, text = big()
    (train, *_), kept = csvdata.load(write(text), "kind", 1, F4)
    kept = csvdata.Kept.from_json(json.loads(json.dumps(kept.as_json())))
    rows, t = csvdata.load_rows(write(text), kept, F4)
    assert {row.tobytes() for row in train} <= {row.tobytes() for row in rows}
    assert t.tolist() == (kinds == "versicolor").astype(int).tolist()
    bare = "\n".join(line.rpartition(",")[0] for line in text.splitlines())
    for other in (bare, bare.partition("\n")[2]):  # without labels, and without a header
        found, labels = csvdata.load_rows(write(other), kept, F4)
        assert np.array_equal(found, rows) and labels is None
    with pytest.raises(DataError, match="column 1 of the numbers: expected 'a', as in the training, found 'b'"):
        csvdata.load_rows(write(bare.replace("a,b,c", "b,a,c", 1)), kept, F4)
    with pytest.raises(DataError, match="line 1: expected 3 columns, or one more with labels, found 2"):
        csvdata.load_rows(write("1,2\n"), kept, F4)
    with pytest.raises(DataError, match="the label 'new' is none of the classes"):
        csvdata.load_rows(write("a,b,c,kind\n1,2,3,new\n"), kept, F4)


def test_numbers_too_large_for_the_dtype_are_told(write):
    rows = "".join(f"{10.0**i},{i % 2}\n" for i in range(-30, 0)) + "1e300,0\n"
    kept = csvdata.Kept("", ("",), ("0", "1"), (0.0,), (1.0,))
    with pytest.raises(
        DataError, match="column 1 of the numbers is not finite as float32 once scaled, first in row 30"
    ):
        csvdata.load_rows(write(rows), kept, F4)


@pytest.mark.parametrize(
    "change",
    [{"columns": ["a"]}, {"shift": ["x", 0, 0]}, {"classes": 3}, {"scale": None}],
)
def test_a_configuration_that_was_altered_is_refused(write, change):
    stored = csvdata.load(write(big()[2]), "kind", 1, F4)[1].as_json() | change
    with pytest.raises(DataError, match="Reading what a run kept of its csv file"):
        csvdata.Kept.from_json(stored)
    with pytest.raises(DataError, match="KeyError"):
        csvdata.Kept.from_json({})


def test_one_row_cannot_be_split(write):
    with pytest.raises(DataError, match="found one row, of which a test cannot be kept"):
        csvdata.load(write("1,2,a\n"), "", 0, F4)


# --- as a data set ---


def test_a_csv_file_is_a_data_set(write):
    path = write(big()[2])
    data = datasets.load(path, label="kind", seed=1)
    assert (data.name, data.classes, data.scale, data.source) == ("mine", 2, 1.0, str(path))
    assert data.x.shape == (160, 3) and data.x.dtype == np.float32 and data.csv.classes == ("setosa", "versicolor")
    x, t = datasets.load_rows(path, csv=data.csv)
    assert x.shape == (200, 3) and t.shape == (200,)
    with pytest.raises(DataError, match=r"mine\.csv: expected what the training kept of its csv file, found none"):
        datasets.load_rows(path)
    with pytest.raises(DataError, match=r"Loading 'digits': a label is a column of a \.csv file"):
        datasets.load("digits", label="kind")
