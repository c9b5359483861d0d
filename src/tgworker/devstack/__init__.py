"""PostgreSQL and PostgREST as Supabase sets them up, on this machine: no root, no docker.

The rooms within, highest first::

    cluster postgrest          the two programs, each with start, stop, kill, freeze
    process                    a program that dies with us; keeper: the small program that sees to it
    folders user               where things are, and whose
    binaries fetching          where the programs come from
    keys                       JWTs and opaque keys, as a project has them

It shares nothing with the rest of tgworker.
"""

from tgworker.devstack.binaries import Binaries, Places, cache_folder
from tgworker.devstack.cluster import OWNER, SUPERUSER, Cluster, open_cluster
from tgworker.devstack.errors import (
    BinaryMissing,
    DevStackError,
    FetchFailed,
    FolderInUse,
    PartFailed,
    PortTaken,
    SqlFailed,
    Unfit,
)
from tgworker.devstack.fetching import fetch_postgresql, fetch_postgrest
from tgworker.devstack.folders import Folders, open_folders
from tgworker.devstack.keys import Keys, project_keys, sign
from tgworker.devstack.postgrest import Postgrest, open_postgrest

__all__ = [
    "OWNER",
    "SUPERUSER",
    "Binaries",
    "BinaryMissing",
    "Cluster",
    "DevStackError",
    "FetchFailed",
    "FolderInUse",
    "Folders",
    "Keys",
    "PartFailed",
    "Places",
    "PortTaken",
    "Postgrest",
    "SqlFailed",
    "Unfit",
    "cache_folder",
    "fetch_postgresql",
    "fetch_postgrest",
    "open_cluster",
    "open_folders",
    "open_postgrest",
    "project_keys",
    "sign",
]
