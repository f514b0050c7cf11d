"""A pooled connection with psycopg: prepared statements and pipelines work, also after a rejected statement."""

import sys

import psycopg
from psycopg.errors import FeatureNotSupported, InFailedSqlTransaction

with psycopg.connect(sys.argv[1], autocommit=True, prepare_threshold=0) as connection:
    for number in range(3):
        assert connection.execute("SELECT %s::int + 1", (number,)).fetchone() == (number + 1,)
    with connection.pipeline():
        answers = [connection.execute("SELECT %s::int", (number,)) for number in range(3)]
        assert [answer.fetchone() for answer in answers] == [(0,), (1,), (2,)]

    try:
        with connection.pipeline():
            connection.execute("SELECT 1")
            connection.execute("SET search_path TO %s" % "elsewhere")
            connection.execute("SELECT 2")
    except FeatureNotSupported as refusal:
        assert refusal.diag.message_primary.startswith("SET search_path needs a session"), refusal
        assert "-pooler" in refusal.diag.message_hint
    else:
        raise AssertionError("a statement that needs a session is not rejected")
    assert connection.execute("SELECT 3").fetchone() == (3,)

    with connection.transaction(force_rollback=True):
        try:
            connection.execute("LISTEN jobs")
        except FeatureNotSupported:
            pass
        try:
            connection.execute("SELECT 1")
        except InFailedSqlTransaction:
            pass
        else:
            raise AssertionError("a rejected statement does not abort its transaction")
    assert connection.execute("SELECT 4").fetchone() == (4,)
