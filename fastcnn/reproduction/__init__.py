"""The experiments of the five authors, made again, and the report that puts both side by side.

laboratory.py   runs experiments, several at a time, and adds seeds until a claim is decided
records.py      what runs have measured, in a text file
verdicts.py     whether a claim holds, from numbers with a spread
s1.py ... s5.py the tables of each system: their figures, our experiments, the claims
targets.py      the accuracies this package sets itself
report.py       sections to Markdown and to a page of HTML
"""
