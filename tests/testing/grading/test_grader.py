"""``grade``: the chapter's flaws, planted mistakes, no finding on correct files, and how the file is run."""

import json
import os
import sys
from types import ModuleType

import numpy as np
import pytest
from pages import ROOT
from students.slips import MISTAKES, TEN, VARIATIONS

import xpgraph
from xpgraph.testing import grade

STUDENTS = ROOT / "tests" / "support" / "students"
CORRECT = (STUDENTS / "correct.py").read_text("utf-8").partition("# try it out")[0].replace("import matplotlib", "# ")
KNOWN = 22


def submit(folder, text, name="student.py"):
    """Write a student's file and grade it."""
    path = folder / name
    path.write_text(text, "utf-8")
    return grade(path)


# --- the three files ------------------------------------------------------------------------------------------


def test_a_correct_file_has_no_finding():
    result = grade(STUDENTS / "correct.py")
    assert result.findings == [], result.table()
    assert result.missing == [] and len(result.checked) == KNOWN
    assert result.passed


@pytest.mark.parametrize(("name", "checked"), [("plain.py", 13), ("spare.py", 11), ("stacked.py", 8)])
def test_other_styles_have_no_finding(name, checked):
    result = grade(STUDENTS / name)
    assert result.findings == result.advice == [], result.table()
    assert len(result.checked) == checked and result.passed


def test_the_library_itself_has_no_finding():
    result = grade(xpgraph)
    assert result.findings == [], result.table()
    assert result.missing == [] and len(result.checked) == KNOWN


def test_the_flaws_of_the_chapter_and_nothing_else():
    result = grade(STUDENTS / "chapter_like.py")
    assert {(f.name, f.check) for f in result.findings} == {
        ("softmax", "inputs untouched"),
        ("softmax", "3-D inputs"),
        ("Sigmoid", "extreme values"),
        ("SoftmaxWithLoss", "forward returns the loss"),
        ("remove_duplicates", "two that are equal by chance"),
        ("Trainer", "few rows"),
    }
    assert result.advice == []
    assert {"MatMul", "Affine", "SGD", "Momentum", "AdaGrad", "RMSprop", "Adam", "clip_grads"} <= set(result.checked)
    assert result.missing == ["Add", "Multiply", "Branch", "Repeat", "Sum", "Tanh", "ReLU", "Softmax"]


def change(text, right, wrong, name):
    """The text with one thing changed in a class or function."""
    assert right in text
    head, found, tail = text.partition(f"class {name}:" if f"class {name}:" in text else f"def {name}(")
    return head + (found + tail).replace(right, wrong, 1)


def ten_mistakes(tmp_path):
    text = CORRECT.replace("class Repeat:", "class NotAsked:")
    for right, wrong, name, *_ in TEN:
        text = change(text, right, wrong, name)
    return submit(tmp_path, text, "mistakes.py")


def test_ten_mistakes_in_one_file_are_found_each_in_its_class(tmp_path):
    result = ten_mistakes(tmp_path)
    assert len(TEN) == 10
    assert {f.name for f in result.findings} == {name for _, _, name, _, _ in TEN}, result.table()
    for _, _, name, check, hint in TEN:
        mine = [f for f in result.findings if f.name == name]
        assert any(f.check == check and hint in f.hint for f in mine), result.table()
    assert {"Add", "Branch", "Tanh", "SGD", "AdaGrad", "clip_grads"} <= set(result.checked)


# --- one mistake at a time ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "wrong", "name", "hint"), MISTAKES)
def test_a_mistake_is_found_in_its_class_alone_and_explained(tmp_path, right, wrong, name, hint):
    result = submit(tmp_path, change(CORRECT, right, wrong, name))
    assert {f.name for f in result.findings} == {name}, result.table()
    assert any(word in f.hint for f in result.findings for word in hint.split("|")), result.table()
    assert len(result.findings) <= 3, result.table()


@pytest.mark.parametrize(("one", "other"), VARIATIONS)
def test_another_right_way_to_write_it_has_no_finding(tmp_path, one, other):
    assert one in CORRECT
    result = submit(tmp_path, CORRECT.replace(one, other, 1))
    assert result.findings == [], result.table()
    assert len(result.checked) == KNOWN


@pytest.mark.parametrize("wrong", ["w += step", "w -= step / 2", "w -= step + g", "w -= 0.5 * self._alpha"])
def test_a_mistake_behind_other_names_is_still_found(tmp_path, wrong):
    text = (STUDENTS / "plain.py").read_text("utf-8")
    line = "np.subtract(w, self._alpha * g, out=w)"
    result = submit(tmp_path, text.replace(line, f"step = self._alpha * g; {wrong}"))
    assert {f.name for f in result.findings} == {"SGD"}, result.table()


@pytest.mark.parametrize(
    ("right", "wrong", "hint"),
    [
        ("self._f * self._m.get(i, 0) + (1 - self._f)", "self._s * self._m.get(i, 0) + (1 - self._s)", "formula"),
        ("/ (1 - self._f**self._t)", "", "bias correction of m"),
        ("- self._e * g", "+ self._e * g", "uphill"),
        ("self._m * self._velocity", "self._velocity", "μ is missing"),
    ],
)
def test_a_mistake_behind_other_names_is_explained(tmp_path, right, wrong, hint):
    text = (STUDENTS / "plain.py").read_text("utf-8")
    assert right in text
    (finding,) = submit(tmp_path, text.replace(right, wrong)).findings
    assert hint in finding.hint


LOSS = "return -log_y[np.arange(len(x)), self.t].mean()"


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        ("return -np.log(self.y[np.arange(len(x)), self.t] + 1e-7).mean()", "16.1181"),
        ("return -np.log(np.clip(self.y[np.arange(len(x)), self.t], 1e-15, 1)).mean()", "34.5388"),
    ],
)
def test_a_capped_loss_is_advice_and_not_a_finding(tmp_path, loss, found):
    result = submit(tmp_path, CORRECT.replace(LOSS, loss))
    assert result.findings == [] and result.passed
    (advice,) = result.advice
    assert (advice.name, advice.check, advice.found) == ("SoftmaxWithLoss", "capped loss", found)
    assert result.data()["findings"] == [] and result.data()["advice"][0]["found"] == found
    head, _, tail = result.table().partition("advice, no mistakes:")
    assert "capped" not in head and "capped" in tail


def test_an_infinite_loss_is_a_finding(tmp_path):
    loss = "p = self.y[np.arange(len(x)), self.t]; return -np.log(np.where(p < 1e-30, 0, p)).mean()"
    result = submit(tmp_path, CORRECT.replace(LOSS, loss))
    assert [f.check for f in result.findings] == ["large scores"] and result.advice == [], result.table()


@pytest.mark.parametrize("name", ["Mul", "MulLayer", "Multiply", "multiply_layer", "MultiplyNode"])
def test_the_usual_names_count(tmp_path, name):
    head, _, tail = CORRECT.partition("class Multiply")
    result = submit(tmp_path, f"import numpy as np\nclass {name}" + tail.partition("\n\n\n")[0])
    assert head and result.checked == [name] and result.passed
    assert "Multiply" not in result.missing and "Add" in result.missing


# --- classes that cannot be run -------------------------------------------------------------------------------


def test_a_class_that_cannot_be_made_or_has_no_methods_is_a_finding(tmp_path):
    text = "class Add:\n    def __init__(self, a, b, c): ...\n\n\nclass Sigmoid:\n    def forward(self, x): return x\n"
    text += "class SGD:\n    pass\nclass Adam:\n    def __init__(self, *, model): ...\n"
    result = submit(tmp_path, text)
    assert [(f.name, f.check) for f in result.findings] == [
        ("Add", "cannot construct"),
        ("Sigmoid", "forward and backward"),
        ("SGD", "update"),
        ("Adam", "cannot construct"),
    ]  # fmt: skip
    assert not result.passed


def test_an_exception_says_in_which_line(tmp_path):
    result = submit(tmp_path, "class Tanh:\n    def forward(self, x):\n        return nump.tanh(x)\n    backward = 1\n")
    assert result.findings[0].check == "forward and backward"
    result = submit(
        tmp_path, "class Tanh:\n    def forward(self, x):\n        return nump.tanh(x)\n    backward = forward"
    )
    (finding,) = result.findings
    assert finding.name == "Tanh" and "NameError" in finding.found and "(student.py line 3)" in finding.found


# --- the file -------------------------------------------------------------------------------------------------

GOOD = "class Add:\n    def forward(self, x, y): return x + y\n    def backward(self, d): return d, d\n"


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero (student.py line 4)"),
        ("raise SystemExit(1)\n", "SystemExit"),
        ("name = input('your name')\n", "EOFError"),
        ("import no_such_module\n", "ModuleNotFoundError"),
    ],
)
def test_what_was_defined_before_an_error_is_still_checked(tmp_path, rest, words):
    result = submit(tmp_path, GOOD + rest + "class Multiply: ...\n")
    (finding,) = result.findings
    assert (finding.name, finding.check) == ("student.py", "import") and words in finding.found
    assert result.checked == ["Add"] and not result.passed


def test_a_syntax_error_is_a_finding(tmp_path):
    (finding,) = submit(tmp_path, GOOD + "def f(:\n").findings
    assert finding.check == "import" and "SyntaxError" in finding.found and "line 4" in finding.found


def test_the_file_runs_without_output_and_leaves_nothing_behind(tmp_path, capsys):
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "layers.py").write_text(GOOD, "utf-8")
    text = (
        "import sys, warnings, numpy as np\nfrom common.layers import Add\nfrom json import JSONDecoder as SGD\n"
        "print('hello'); print('oh', file=sys.stderr); warnings.warn('hm', stacklevel=1)\n"
        "np.random.seed(0); np.seterr(all='raise'); np.set_printoptions(precision=1); sys.path.append('/nowhere')\n"
        "if __name__ == '__main__':\n    raise ValueError('the test cell')\n"
    )
    before = np.random.get_state()[1].copy(), np.geterr(), np.get_printoptions(), list(sys.path), dict(os.environ)
    modules = set(sys.modules)
    result = submit(tmp_path, text)
    assert result.checked == ["Add"] and result.passed  # the neighbour's class is the student's, json's is not
    assert capsys.readouterr() == ("", "")
    after = np.random.get_state()[1].copy(), np.geterr(), np.get_printoptions(), list(sys.path), dict(os.environ)
    assert np.array_equal(after[0], before[0]) and after[1:] == before[1:]
    assert not {name for name in set(sys.modules) - modules if name.startswith(("common", "graded"))}
    assert {p.name for p in tmp_path.rglob("*")} == {"student.py", "common", "layers.py"}  # no __pycache__


def test_two_students_with_neighbours_of_one_name(tmp_path):
    for name, sign in (("one", "+"), ("two", "-")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(GOOD.replace("x + y", f"x {sign} y"), "utf-8")
    one, two = (submit(tmp_path / name, "from helper import Add\n") for name in ("one", "two"))
    assert one.passed and not two.passed


def test_a_module_can_be_graded():
    module = ModuleType("notebook")
    exec(GOOD, vars(module))
    result = grade(module)
    assert result.source == "notebook" and result.checked == ["Add"] and result.passed


def test_a_missing_file_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"grade: there is no file .*; give the path"):
        grade("nobody.py")


def test_a_file_with_nothing_to_check_does_not_pass(tmp_path):
    result = submit(tmp_path, "x = 1\n")
    assert result.findings == [] and not result.passed
    assert "checked: nothing" in result.table() and len(result.missing) == KNOWN


def test_the_result_is_data_and_a_table(tmp_path):
    result = ten_mistakes(tmp_path)
    data = json.loads(json.dumps(result.data()))
    assert data["source"] == "mistakes.py" and data["passed"] is False
    assert set(data["findings"][0]) == {"class", "check", "expected", "found", "hint"}
    lines = result.table().splitlines()
    assert lines[0].split() == ["class", "check", "expected", "found", "hint"]
    assert len(lines) == 1 + len(result.findings) + 3
    assert lines[-2].startswith("checked: Add, Multiply, Branch") and lines[-1] == "not in mistakes.py: Repeat"
