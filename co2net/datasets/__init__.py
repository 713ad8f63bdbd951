"""Readers of published data sets: each brings original files into the canonical store.

One module a source; `download` fetches files over HTTP, `netcdf` opens them. Nothing here knows
the simulated world or a model.
"""
