"""Holds the other job queues, one module for each; a module is loaded where its queue is installed."""
