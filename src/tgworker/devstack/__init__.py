"""PostgreSQL and PostgREST as Supabase sets them up, on this machine: no root, no docker.

The rooms within, highest first::

    stack                      all of it together, and its handles
    control server             switching faults and parts over HTTP; a port that can be taken down
    gateway breaking           one port in front of PostgREST and Storage; a request under a fault
    upstream storage           PostgREST as the gateway sees it; the stand-in for Storage
    exchange faults objects    HTTP with one client; named faults; buckets as files
    migrations                 files of SQL, each once
    cluster postgrest          the two programs: how each is set up, started and stopped
    program                    what may befall either: kill, freeze, restart
    psql                       SQL, run by PostgreSQL's own client
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
from tgworker.devstack.faults import Action, ActiveFault, Fault, Faults
from tgworker.devstack.fetching import fetch_postgresql, fetch_postgrest
from tgworker.devstack.folders import Folders, open_folders
from tgworker.devstack.keys import Keys, project_keys, sign
from tgworker.devstack.migrations import apply_migrations
from tgworker.devstack.postgrest import Postgrest, open_postgrest
from tgworker.devstack.stack import Stack, open_stack, open_stack_on

__all__ = [
    "OWNER",
    "SUPERUSER",
    "Action",
    "ActiveFault",
    "Binaries",
    "BinaryMissing",
    "Cluster",
    "DevStackError",
    "Fault",
    "Faults",
    "FetchFailed",
    "FolderInUse",
    "Folders",
    "Keys",
    "PartFailed",
    "Places",
    "PortTaken",
    "Postgrest",
    "SqlFailed",
    "Stack",
    "Unfit",
    "apply_migrations",
    "cache_folder",
    "fetch_postgresql",
    "fetch_postgrest",
    "open_cluster",
    "open_folders",
    "open_postgrest",
    "open_stack",
    "open_stack_on",
    "project_keys",
    "sign",
]
