"""Faster bodies, one file per library, loaded by name when arrays of that library are first met."""
