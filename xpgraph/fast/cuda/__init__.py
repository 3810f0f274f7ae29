"""What the bodies for CuPy (fast/cupy.py) are made of. Imports CuPy, except for ``sources``.

The CUDA kernels stand in *.cu; sources.py reads them, and device.py lets NVRTC compile them and launches them.
cublaslt*.py has matrix products, update.py the update of all parameters, capture.py the captured training step.

To capture a step is to record its launches, without running them, as a CUDA graph; to replay it is to run the whole
graph by one call. A captured step must not read a value on the host or copy to the device.

To add a kernel, write ``extern "C" __global__ void xp_<name>(...)`` into a .cu file, without headers, for
``REAL`` = float and double alike, and start it with ``device.launch("<name>", ...)``. Tests find it by itself.
"""
