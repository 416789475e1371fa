"""The compiled twister gives NumPy's words."""

import numpy as np
import pytest

from flambeau.tensor import mersenne


@pytest.mark.parametrize("start", [0, 1, 623, 624])
def test_words_are_numpys(start):
    ours, theirs = np.random.MT19937(), np.random.MT19937()
    for bits in (ours, theirs):
        bits._legacy_seeding(5)
        bits.random_raw(start)
    for n in (1, 3, 17, 100, 620, 624, 1300, 5, 4000):
        np.testing.assert_array_equal(mersenne.words(ours, n), theirs.random_raw(n))
    assert ours.random_raw() == theirs.random_raw()


@pytest.mark.parametrize("p", [0.0, 0.3, 1 - 2.0**-53, 1.0])
@pytest.mark.parametrize("n", [1, 8, 1001])
def test_chances(n, p):
    ours, theirs = np.random.MT19937(), np.random.MT19937()
    for bits in (ours, theirs):
        bits._legacy_seeding(7)
    words = theirs.random_raw(2 * n).astype(np.uint64)
    numbers = ((words[0::2] << np.uint64(32)) | words[1::2]) & np.uint64(2**53 - 1)
    expected = numbers.astype(np.float64) * 2.0**-53 < p
    np.testing.assert_array_equal(mersenne.chances(ours, n, p), expected)
