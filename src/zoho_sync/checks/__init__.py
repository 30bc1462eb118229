"""Checks every mapping against the real schema, once, before the first event is applied.

Comes before `zoho_sync.worker` claims anything. It says what is wrong, where, and how to mend it,
and changes nothing.
"""
