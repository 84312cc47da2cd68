"""Reads a memsync results directory, and nothing else: figures, report, later verdicts."""
