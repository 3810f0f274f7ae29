"""The certificate: every node and optimizer on CuPy beside NumPy, by ``xpgraph verify``, in float32 and float64."""

from __future__ import annotations

from .results import FAIL, PASS, Context, LeftOut, Result
from .training import backends

STEPS = 100


def run(context: Context) -> Result:
    return certificate(backends(context), 1 if context.rehearsal else STEPS, context)


def certificate(pair: tuple[str, str], steps: int, context: Context) -> Result:
    """Compare two backends; what was found is kept in verify.json, and what was said in verify.txt."""
    if pair[0] == pair[1]:
        raise LeftOut("neither array_api_strict nor torch is installed")
    from xpgraph.cli.verify_command import run

    lines: list[str] = []
    out = str(context.folder / "verify.json")
    passed = run(pair, ("float32", "float64"), steps, None, None, None, None, 0, out, lines.append)
    (context.folder / "verify.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return {"status": PASS if passed else FAIL, "note": f"{lines[-1]}; see verify.txt"}
