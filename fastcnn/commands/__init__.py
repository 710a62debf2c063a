"""The command lines: options in, exit code out; one file for each `python -m fastcnn.NAME`."""
