"""Reading CSV files: headers, labels, forms of the same table, and what is refused, with line and column."""

import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpgraph.datasets import csv_reader
from xpgraph.errors import DataError

IRIS = "sepal,petal,species\n5.1,1.4,setosa\n7.0,4.7,versicolor\n6.3,6.0,virginica\n"


def rows_of(table):
    return [[*row, label] for row, label in zip(table.x.tolist(), table.labels, strict=True)]


# --- what is read ---


def test_a_header_names_the_columns(write):
    table = csv_reader.read(write(IRIS))
    assert table.columns == ("sepal", "petal") and table.label == "species" and table.x.dtype == np.float64
    assert rows_of(table) == [[5.1, 1.4, "setosa"], [7.0, 4.7, "versicolor"], [6.3, 6.0, "virginica"]]


def test_without_a_header_the_first_line_is_a_row(write):
    table = csv_reader.read(write("1,2,0\n3,4,1\n"))
    assert rows_of(table) == [[1, 2, "0"], [3, 4, "1"]] and table.columns == ("", "") and table.label == ""
    assert rows_of(csv_reader.read(write("1,2,a\n")))[0] == [1, 2, "a"]
    assert rows_of(csv_reader.read(write("x,y,7\n1,2,a\n"))) == [
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
            csv_reader.read(write(text), label)
    else:
        assert csv_reader.read(write(text), label).labels == labels


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + IRIS, IRIS.replace("\n", "\r\n"), IRIS.replace("\n", "\n\n"), "\n  \n" + IRIS, IRIS.rstrip(),
        IRIS.replace("setosa", '"setosa"').replace("5.1", '"5.1"'), IRIS.replace(",", " , "), "\ufeff\r\n" + IRIS,
        '"sepal","petal","species"' + IRIS[IRIS.index("\n"):], IRIS.replace("5.1", "+51e-1"),
    ],
)  # fmt: skip
def test_the_same_table_in_other_forms(write, text):
    table = csv_reader.read(write(text))
    assert table.columns == ("sepal", "petal") and rows_of(table) == rows_of(csv_reader.read(write(IRIS)))


def test_quoted_cells_hold_commas_quotes_and_line_ends(write):
    table = csv_reader.read(write('"a, ""b""\nc",label\n1,"x, ""y""\nz"\n2,w\n'))
    assert table.columns == ('a, "b"\nc',) and table.labels == ['x, "y"\nz', "w"]
    with pytest.raises(DataError, match=r"line 5, column 1 \(a, \"b\"\nc\): expected a finite number, found 'no'"):
        csv_reader.read(write('"a, ""b""\nc",label\n1,"x, ""y""\nz"\nno,w\n'))


def test_names_in_any_script(write):
    table = csv_reader.read(write("长度,宽度,品种\n1,2,山鸢尾\n"), "品种")
    assert table.columns == ("长度", "宽度") and table.labels == ["山鸢尾"]


def test_thousands_of_columns_and_rows(write):
    width, x = 5000, np.random.default_rng(0).standard_normal((40, 5000))
    text = ",".join(f"c{i}" for i in range(width)) + ",t\n"
    text += "".join(",".join(map(repr, row)) + f",{i % 2}\n" for i, row in enumerate(x.tolist()))
    table = csv_reader.read(write(text))
    assert np.array_equal(table.x, x) and table.columns[-1] == "c4999"  # to the bit: repr and float are exact
    many = csv_reader.read(write("1,2,3\n" * 50_000))
    assert many.x.shape == (50_000, 2) and len(many.labels) == 50_000


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)), min_size=1))
def test_what_pythons_csv_writes_is_read(tmp_path_factory, rows):
    import csv

    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        csv.writer(file).writerows([[value, "_" + text] for value, text in rows])
    try:
        table = csv_reader.read(path)
    except DataError as error:  # what no text file holds
        assert re.search(r"zero byte|single CR|UTF-8|separated by commas", str(error))
    else:
        assert table.x[:, 0].tolist() == [value for value, _ in rows]
        assert table.labels == [("_" + text).strip() for _, text in rows]


# --- what is refused, and where ---


REFUSED = [
    ("", "line 1: expected rows, found an empty file"),
    ("\n\n", "expected rows, found an empty file"),
    ("a,b\n", "line 1: expected rows after the header, found none"),
    ("1\n2\n", "line 1: expected a column of labels and others, found one column"),
    ("1;2;a\n", "expected cells separated by commas, found semicolons. Save it with commas"),
    ("1\t2\ta\n", "expected cells separated by commas, found tabs"),
    ("1,2,a\n3,b\n", "line 2: expected 3 columns as in the first line, found 2"),
    ("1,2,a\n\n\n3,4,5,b\n", "line 4: expected 3 columns as in the first line, found 4"),
    ("x,y,t\n1,,a\n", r"line 2, column 2 \(y\): expected a number, found '', a missing value. Fill it in"),
    ("x,y,t\n1,2,a\n1,NA,a\n", r"line 3, column 2 \(y\): expected a number, found 'NA', a missing value"),
    ("1,2,a\n?,2,a\n", "line 2, column 1: expected a number, found '\\?', a missing value"),
    ("1,2,a\nnan,2,a\n", "line 2, column 1: expected a number, found 'nan', a missing value"),
    ("1,2,a\n1,inf,a\n", "line 2, column 2: expected a finite number, found 'inf'"),
    ("1,2,a\n1,1e999,a\n", "column 2: expected a finite number, found '1e999'"),
    ("1,2,a\n1,1_000,a\n", "column 2: expected a finite number, found '1_000'"),
    ('1,2,a\n1,"1,5",a\n', "column 2: expected a finite number, found '1,5'. Write numbers as 1234.5"),
    ("1,2,a\n1,0x10,a\n", "column 2: expected a finite number, found '0x10'"),
    ("1,2,a\n1,3,\n", "line 2, column 3: expected a label, found '', a missing value"),
    ("1,2,a\n1,3,NaN\n", "line 2, column 3: expected a label, found 'NaN'"),
    (
        "1,?,a\n2,3,b\n",
        "line 1, column 2: expected a number like its neighbours, or a header with names.*, found '\\?'",
    ),
    ("land,1990,1991,t\n1,2,3,a\n", "line 1, column 1: expected a number like its neighbours, .*, found 'land'"),
    (
        ",x,t\n0,1,a\n",
        r"line 1, column 1: expected a name, found none. If this is the index that pandas .*to_csv\(index=Fa",
    ),
    (",,\n1,2,3\n", "line 1: expected values, found only commas"),
    ("1,2,a\n,,\n", "line 2: expected values, found only commas"),
    (b"1,2,a\n1,2,\xe9t\xe9\n", "line 2: expected text in UTF-8, found the byte e9 at position 5. Save .* as UTF-8"),
    ("1,2,setosa\n".encode("utf-16"), "line 1: expected text in UTF-8, found utf-16"),
    ("1,2,setosa\n".encode("utf-16-le"), "line 1: expected text, found a zero byte at position 2"),
    (b"PK\3\4 a workbook", "expected text in UTF-8, found a zip file"),
    (b"\x1f\x8b packed", "expected text in UTF-8, found gzip"),
    (b"1,2,a\r3,4,b\r", "line 1: expected lines that end in LF or CR LF, found a single CR"),
    ('1,2,"a\n3,4,b\n', "line 1: expected cells separated by commas, quoted whole or not at all, found unexpected end"),
    ('1,2,"a"b\n', "line 1: expected cells separated by commas, quoted whole"),
    ("1,2,a\n" + '3,4,"' + "b\n" * 200_000, "line 2: expected cells separated by commas, .*larger than field limit"),
    ("1" + "0" * (5 << 20), "line 1: expected at most 4194304 bytes, found more"),
    ("," * (1 << 20), "line 1: expected at most 262144 columns, found more"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_cannot_be_right_is_refused_with_line_and_column(write, text, words):
    path = write(text)
    with pytest.raises(DataError, match=words) as caught:
        csv_reader.read(path)
    assert str(caught.value).startswith(f"Reading {path}: ") and re.search(r"\. [A-Z].*\.$|\)\.$", str(caught.value))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("kind", "line 1: expected a column called 'kind', found sepal, petal, species. Give a name .* from 1 to 3"),
        (0, "expected a column called '0', found sepal"), (4, "expected a column called '4', found"),
        (-1, "expected a column called '-1'"), ("9" * 30, "expected a column called '9999"),
    ],
)  # fmt: skip
def test_a_label_that_is_not_there_is_told_with_those_that_are(write, label, words):
    with pytest.raises(DataError, match=words):
        csv_reader.read(write(IRIS), label)
    with pytest.raises(DataError, match="expected a column called 'kind', found no header"):
        csv_reader.read(write("1,2,a\n"), "kind")
    with pytest.raises(DataError, match="expected one column called 'a', found 2"):
        csv_reader.read(write("a,a,b\n1,2,3\n"), "a")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv", "absent.csv", "a\0b.csv"):
        with pytest.raises(DataError, match=re.escape(f"Reading {tmp_path / name}: ")):
            csv_reader.read(tmp_path / name)
