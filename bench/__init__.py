"""The benchmark: speed and memory of real node processes, each figure beside its reference of the same run.

`uv run bench` prints one table; a goal that is missed is printed as missed and is no error. Start with `cli`.
"""
