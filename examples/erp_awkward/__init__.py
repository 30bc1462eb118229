"""An ERP with all the awkward habits of one that has grown, kept in step with Zoho for a month.

Nothing in it was made for the library: customers and vendors share a base table, some names need
quotes, keys are UUIDs or pairs, triggers and generated columns do their own things, and people go
on working in it. It shows what a mapping can do with that, and proves it: a month of events is
replayed, and whole tables are compared with what an oracle says that must be in them.

``tables.py``
    The ERP's tables, with the reason for every habit.
``handlers.py``
    Which of their columns hold what.
``guards.py``
    Triggers: the ERP's own, and those that watch what is the ERP's alone.
``first.py``, ``host.py``
    The rows that were there first, and what the ERP's people do meanwhile.
``documents.py``, ``lives.py``, ``month.py``
    What Zoho says, what is changed in it, and when it is heard of.
``changes.py``, ``oracle.py``, ``comparison.py``
    What must come of it, found out without the library, and what has.
``replay.py``
    The month from the first row to the comparison.

Run it with ``python -m examples.erp_awkward``; see ``--help``. It needs
``pip install "zoho-sync[sqlite]"``, or ``[postgres]`` and an empty database.
"""
