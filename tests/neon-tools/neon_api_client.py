"""The lifecycle of a project with neon-api and psycopg."""

import os
from urllib.parse import urlsplit

import psycopg
from neon_api import NeonAPI

neon = NeonAPI(os.environ["API_KEY"], base_url=os.environ["API_URL"] + "/")


def query(uri, statement):
    # Every host name resolves to this machine; TLS uses the name unchanged.
    with psycopg.connect(uri, hostaddr="127.0.0.1", autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def by_options(uri):
    """The same database, selected by the endpoint option instead of the host name."""
    parts = urlsplit(uri)
    endpoint = parts.hostname.split(".")[0]
    return uri.replace(parts.hostname, "127.0.0.1") + f"&options=endpoint%3D{endpoint}"


created = neon.project_create(project={"name": "by-python"})
project = created.project.id
main = neon.connection_uri(project, database_name="neondb", role_name="neondb_owner").uri
query(main, "CREATE TABLE notes AS SELECT 'of main' AS text")
assert query(by_options(main), "SELECT text FROM notes") == [("of main",)]
assert neon.project(project).project.name == "by-python"
assert any(listed.id == project for listed in neon.projects().projects)

made = neon.branch_create(project, branch={"name": "preview"}, endpoints=[{"type": "read_write"}])
branch = made.branch.id
assert [database.name for database in neon.databases(project, branch).databases] == ["neondb"]
role = neon.role_password_reset(project, branch, "neondb_owner").role
assert role.password
endpoint = next(each for each in neon.endpoints(project).endpoints if each.branch_id == branch)
parts = urlsplit(main)
own = main.replace(parts.password, role.password).replace(parts.hostname, endpoint.host)
assert query(own, "UPDATE notes SET text = 'of the branch' RETURNING text") == [("of the branch",)]
assert query(by_options(own), "SELECT text FROM notes") == [("of the branch",)]
assert query(main, "SELECT text FROM notes") == [("of main",)]
neon.branch_delete(project, branch)
neon.project_delete(project)
