"""What errors of databases mean, told by the numbers that only some servers send."""

from __future__ import annotations

import pytest
from asyncmy.errors import InternalError, OperationalError
from sqlalchemy import exc

from zoho_sync.database.faults import Fault, classify, primary_message

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


@pytest.mark.parametrize(
    ("number", "message", "named"),
    [
        (1048, "Column 'name' cannot be null", "name"),
        (1054, "Unknown column 'nothing' in 'SELECT'", "nothing"),
        (1146, "Table 'erp.clients' doesn't exist", ""),
        (1264, "Out of range value for column 'amount' at row 1", "amount"),
        (1265, "Data truncated for column 'status' at row 1", "status"),
        (1364, "Field 'name' doesn't have a default value", "name"),
        (1406, "Data too long for column 'name' at row 1", "name"),
        (4025, "CONSTRAINT `is_positive` failed for `erp`.`lines`", "is_positive"),
        (1452, "a foreign key constraint fails (`lines`, CONSTRAINT `of_invoice`)", "of_invoice"),
    ],
)
def test_mariadb_names_what_is_wrong(number: int, message: str, named: str) -> None:
    error = exc.OperationalError("INSERT", {}, OperationalError(number, message))
    assert primary_message(error) == (message, named)


@pytest.mark.parametrize(
    ("number", "message", "named"),
    [
        (1062, "Duplicate entry 'secret' for key 'by_name'", "by_name"),
        (1292, "Truncated incorrect DOUBLE value: 'secret'", ""),
        (1366, "Incorrect integer value: 'secret' for column `erp`.`clients`.`id` at row 1", "id"),
    ],
)
def test_mariadb_quotes_no_value(number: int, message: str, named: str) -> None:
    error = exc.OperationalError("INSERT", {}, OperationalError(number, message))
    told, found = primary_message(error)
    assert "secret" not in told
    assert found == named
