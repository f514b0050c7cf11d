"""Runs a statement with psycopg and an unmodified connection string, and prints the first value."""

import sys

import psycopg

uri, statement = sys.argv[1:]
with psycopg.connect(uri, autocommit=True) as connection:
    print(connection.execute(statement).fetchone()[0])
