"""A trained network to look at in a browser: what `python -m fastcnn.demo` shows.

shown.py    what the page asks a network for, as plain numbers
trained.py  a finished run, with the weights of its epochs
live.py     a network in training
server.py   the address it is asked at, for this machine's browser alone
guard.py    who may ask, how much and how often
page/       the page: HTML, style, script, words in two languages
"""
