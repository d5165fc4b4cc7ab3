"""The 64-bit mixing function of the house, over numpy arrays and over one Python int.

It is the finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64 bits in which each input bit
flips each output bit with a chance close to one half. Not cryptographic: whoever crafts collisions on purpose
finds them, so what must resist that uses blake2b (`dedup.exact`).
"""

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, odd: the step of SplitMix64
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = 0xFFFFFFFFFFFFFFFF


def mix_in_place(values: np.ndarray) -> np.ndarray:
    """Mix a uint64 array where it lies, and return it."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(_FIRST)
    values ^= values >> np.uint64(27)
    values *= np.uint64(_SECOND)
    values ^= values >> np.uint64(31)
    return values


def mix_int(value: int) -> int:
    """The same for one Python int; the result is below 2**64."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)
