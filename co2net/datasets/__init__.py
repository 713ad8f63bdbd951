"""Readers of published data sets: each brings original files into the canonical store.

One module a source with a ``prepare``; `download` fetches files over HTTP, `netcdf` opens them,
`guard` reads them where a damaged one does no harm. Nothing here knows the simulated world or a
model.
"""
