#!/bin/sh
# Installs the Debian packages given as arguments where they are missing and this may be done; else names them.
# A package whose command is there already, from wherever, is not asked for.
set -eu

command_of() {
    case "$1" in
        openjdk-*) echo java ;;
        maven) echo mvn ;;
        openssl) echo openssl ;;
        pkg-config) echo pkg-config ;;
        build-essential) echo cc ;;
        *) echo ;;
    esac
}

have() {
    command=$(command_of "$1")
    if [ -n "$command" ]; then
        command -v "$command" >/dev/null 2>&1
    elif [ "$1" = python3-venv ]; then
        python3 -c 'import venv, ensurepip' >/dev/null 2>&1
    elif command -v dpkg-query >/dev/null 2>&1; then
        dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'
    else
        # No way to look a library up here: the build says what is missing.
        true
    fi
}

missing=
for package in "$@"; do
    have "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "these packages are missing:$missing" >&2
    echo "install them first, e.g. sudo apt-get install$missing" >&2
    exit 1
fi
