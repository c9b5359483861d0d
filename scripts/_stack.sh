# Shared by scripts/test and .ci/run: PostgreSQL and PostgREST for the tests that want the local stack. POSIX sh; to
# be sourced after _venv.sh. Nothing here ends the script: what could not be had is said, and the tests that miss it
# are skipped (in CI they fail).

# ensure_stack FOLDER: gets what is missing, with the virtual environment in FOLDER.
ensure_stack() {
    "$1/bin/python" -c '
import sys
from tgworker.cli.dev_stack import places
sys.exit(places().find_postgresql() is None)' >/dev/null 2>&1 || _apt_postgresql || :
    # It says itself what it cannot get.
    "$1/bin/python" -m tgworker dev-stack --fetch >/dev/null ||
        say "tests against PostgreSQL will be skipped (in CI they fail)"
}

# _apt_postgresql: root on Debian or Ubuntu gets it from there. No cluster is made, so that no service runs.
_apt_postgresql() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    say "installing PostgreSQL with apt-get, without a cluster of its own"
    system=${TGWORKER_SYSTEM_ROOT-} # for tests of this script
    setting=$system/etc/postgresql-common/createcluster.conf
    made=
    if [ ! -e "$setting" ]; then
        made=yes
        mkdir -p "${setting%/*}"
        echo "create_main_cluster = false" >"$setting"
    fi
    log=$(mktemp)
    status=0
    { apt-get update && DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
        apt-get install --yes --no-install-recommends postgresql; } >"$log" 2>&1 </dev/null || {
        status=1
        tail -n 3 "$log" >&2
        say "apt-get could not install PostgreSQL"
    }
    # What Debian says of later clusters, or nothing where nothing was.
    [ -z "$made" ] || cp "$system/usr/share/postgresql-common/createcluster.conf" "$setting" 2>/dev/null ||
        rm -f "$setting"
    rm -f "$log"
    return "$status"
}
