"""What the bodies for CuPy (fast/cupy.py) are made of. Imports CuPy, except for ``sources``.

| file | holds |
|---|---|
| *.cu, sources.py | the CUDA kernels, compiled by NVRTC at first use, and their reader |
| device.py | ``launch`` of a kernel, ``upload`` of an array, the lane on which steps are captured |
| cublaslt*.py | matrix products |
| update.py | the update of all parameters in one launch |
| capture.py | a training step captured as a CUDA graph and replayed |

To capture a step is to record its launches, without running them, as a CUDA graph; to replay it is to run the whole
graph by one call. A captured step must not read a value on the host or copy to the device.

To add a kernel, write ``extern "C" __global__ void xp_<name>(...)`` into a .cu file, without headers, for
``REAL`` = float and double alike, and start it with ``device.launch("<name>", ...)``. Tests find it by itself.
"""
