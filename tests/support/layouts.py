"""How an array may lie in memory: the same values in C order, transposed, strided, reversed, broadcast."""

import numpy as np

LAYOUTS = ("C", "fortran", "transposed", "strided", "reversed", "broadcast", "empty", "one_row")
VIEWS = LAYOUTS[:-2]  # those that change only the memory order, not the shape


def lay(lib, a, layout="C", writable=False):
    """The host array ``a`` in a library, in a layout; "broadcast" repeats its first slice, and so changes values."""
    a, xp, axes = np.asarray(a), lib.xp, tuple(range(np.ndim(a)))
    if a.ndim == 0 or (layout == "broadcast" and (writable or a.shape[0] == 0)):
        layout = "C"
    if layout == "fortran":
        new = xp.permute_dims(lib.param(np.array(a.T, order="C")), axes[::-1])
    elif layout == "transposed" and a.ndim > 1:
        new = xp.matrix_transpose(lib.param(np.array(a.swapaxes(-1, -2), order="C")))
    elif layout == "strided":
        gaps = np.full_like(a, 99)  # a body that ignores the strides reads these
        new = lib.param(np.stack([a, gaps], axis=-1).reshape(*a.shape[:-1], 2 * a.shape[-1]))[..., ::2]
    elif layout == "reversed":  # negative strides; torch has none, so flip copies there
        new = xp.flip(lib.param(a[..., ::-1]), axis=-1)
    elif layout == "broadcast":
        new = xp.broadcast_to(lib.param(a[:1]), a.shape)
    else:
        new = lib.param(np.array(a, order="C"))
    if lib.name == "numpy:readonly":
        new.flags.writeable = writable
    return new
