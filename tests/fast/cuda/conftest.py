"""The emulator of CUDA, and the dtypes that its kernels are compiled for."""

import pytest
from cuda_emulator import DTYPES, Emulator


@pytest.fixture(scope="package")
def emulator():
    return Emulator()


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param
