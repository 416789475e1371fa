"""What comparisons with PyTorch share."""

import pytest


@pytest.fixture
def amd():
    """Skips the test where MKL adds up inner products in another order than on AMD processors."""
    try:
        with open("/proc/cpuinfo") as file:
            found = "AuthenticAMD" in file.read()
    except OSError:
        found = False
    if not found:
        pytest.skip("MKL adds up inner products in another order on this processor")


@pytest.fixture
def single_thread():
    """PyTorch works in one thread."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
