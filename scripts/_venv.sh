# Shared by scripts/* and .ci/run: where the project is, which Python fits, and a virtual environment that is up
# to date. POSIX sh; to be sourced after `root` is set. Everything said here goes to standard error, because the
# standard output belongs to the command.

supported="3.13 3.12 3.11"

say() {
    printf 'tgworker: %s\n' "$*" >&2
}

die() {
    say "$@"
    exit 2
}

# python_for 3.12: prints the path of a CPython of that version; fails where there is none. A shim of pyenv's may
# stand on PATH for a version that is not chosen: only what runs counts.
python_for() {
    for candidate in "python$1" python3 python "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        "$candidate" -c '
import sys
if "%d.%d" % sys.version_info[:2] != sys.argv[1] or sys.implementation.name != "cpython":
    sys.exit(1)
print(sys.executable)' "$1" 2>/dev/null && return 0
    done
    return 1
}

# any_python: prints the path of the python3 on PATH if it fits, else of the newest that does.
any_python() {
    for version in $(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) $supported; do
        case " $supported " in
        *" $version "*) python_for "$version" && return 0 ;;
        esac
    done
    return 1
}

# version_of PYTHON: prints its major.minor; fails where it does not run.
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# ensure_venv FOLDER EXTRA [PYTHON]: makes the virtual environment if there is none or it is broken, and installs
# `.[EXTRA]` into it unless that was done since pyproject.toml last changed. Two at once wait for each other
# (where there is flock).
ensure_venv() {
    venv=$1 extra=$2 wanted=${3-}
    mkdir -p "$(dirname "$venv")"
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$venv.lock"
        flock -n 9 || {
            say "waiting for another command that is preparing $venv"
            flock 9
        }
        _ensure_venv
        exec 9>&-
    else
        _ensure_venv
    fi
}

_ensure_venv() {
    version=$(version_of "$venv/bin/python") || version=
    case " $supported " in
    *" ${version:-none} "*) ;;
    *) _make_venv ;;
    esac
    stamp="$version $root $(cksum <"$root/pyproject.toml")"
    # `dev` brings the others along.
    for done_for in "$extra" dev; do
        [ "$(cat "$venv/.installed-$done_for" 2>/dev/null)" = "$stamp" ] && return 0
    done
    say "installing .[$extra] into $venv (a minute or two, now and after changes of pyproject.toml)"
    if [ -x "$venv/bin/pip" ]; then
        set -- "$venv/bin/python" -m pip
    else
        set -- "${wanted:-$(any_python)}" -m pip --python "$venv/bin/python"
    fi
    "$@" install --disable-pip-version-check --no-input --editable "$root[$extra]" >"$venv/install.log" 2>&1 </dev/null || {
        tail -n 15 "$venv/install.log" >&2
        die "the installation failed (all of it in $venv/install.log): is the package index reachable?"
    }
    printf '%s\n' "$stamp" >"$venv/.installed-$extra"
}

_make_venv() {
    if [ -z "$wanted" ]; then
        wanted=$(any_python) ||
            die "no Python 3.11, 3.12 or 3.13 found: install one, or put it on PATH"
    fi
    version=$(version_of "$wanted")
    say "making $venv with $wanted ($version)"
    "$wanted" -m venv --clear "$venv" >/dev/null 2>&1 || {
        # Debian's Python comes without ensurepip unless python3-venv is installed; pip can serve from outside.
        "$wanted" -m venv --clear --without-pip "$venv" >&2 && "$wanted" -m pip --version >/dev/null 2>&1 ||
            die "$wanted cannot make virtual environments: install its venv and pip (Debian: python3-venv)"
    }
}
