"""Measuring what a memory holds. A suite takes a model and plain data and returns plain results;
it neither opens files nor prints."""
