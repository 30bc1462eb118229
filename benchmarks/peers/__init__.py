"""Holds the other job queues, each in a module that is loaded where the queue is installed."""
