"""What errors of databases mean, told by the numbers that only some servers send."""

from __future__ import annotations

import pytest
from asyncmy.errors import InternalError, OperationalError
from sqlalchemy import exc

from zoho_sync.database.faults import Fault, classify

MARIADB = {
    1020: Fault.CONFLICT,  # the row has changed since the transaction saw it
    1213: Fault.CONFLICT,  # a deadlock
    1205: Fault.LOCK_TIMEOUT,
    1040: Fault.CONNECTION,  # too many connections
    1045: Fault.CONNECTION,  # the login was refused
    1049: Fault.CONNECTION,  # the database is not there
    1053: Fault.CONNECTION,  # the server shuts down
    1927: Fault.CONNECTION,  # it was killed
    2006: Fault.CONNECTION,  # the server has gone away
    2013: Fault.CONNECTION,  # it went during the question
    1114: Fault.UNKNOWN,  # the table is full
    1030: Fault.UNKNOWN,  # the storage engine failed
}
"""Numbers of the manual; most come with the SQLSTATE HY000, which says nothing."""


@pytest.mark.parametrize(("number", "fault"), MARIADB.items())
def test_a_number_of_mariadb_is_understood(number: int, fault: Fault) -> None:
    for wrapping, raised in (
        (exc.OperationalError, OperationalError),
        (exc.InternalError, InternalError),
    ):
        error = wrapping("UPDATE", {}, raised(number, "in the server's words"))
        assert classify(error) is fault
