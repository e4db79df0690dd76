"""Runs described by a file: what `tauax run` does.

`places` finds the line of every key, `source` merges files, `schema` says what may be in them,
`reader` checks it, `build` makes the model, `run` runs it.
"""
