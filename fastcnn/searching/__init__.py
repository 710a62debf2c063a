"""Searching for good settings: what `python -m fastcnn.search` does, from a plan to pictures.

    space.py      which values are tried: lists, ranges, their grid
    plan.py       everything that decides a search, as TOML and back
    database.py   the Optuna study that all workers share
    patience.py   a database that goes away, and waiting for it
    server.py     a PostgreSQL server of the search's own
    samplers.py   which values a trial gets
    slots.py      which trial is whose: each exactly once, also after kill -9
    worker.py     one process that trains trial after trial
    search.py     starts the workers, tells what happens, writes the results
    results.py    the trials as plain data, as table, CSV, best.toml and pictures

The others than `plan`, `space` and `results` import Optuna.
"""
