"""Measuring what a memory holds. A suite takes readers and plain data and returns plain results; it
writes no files and prints nothing."""
