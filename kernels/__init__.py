"""Loops over bytes and numbers, compiled by numba: buffers in, arrays out. Imports numpy and numba only.

Each kernel has a readable twin in plain Python or numpy, in the room that uses it, and a test that both agree.
"""
