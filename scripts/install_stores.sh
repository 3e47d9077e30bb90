#!/usr/bin/env bash
# PostgreSQL and Redis from the distribution's packages, for tests that start servers of their own on this machine.
# Exit status 1 where they cannot be had: those tests are then skipped.
set -euo pipefail
have() { command -v redis-server && { command -v initdb || compgen -G "/usr/lib/postgresql/*/bin/initdb"; }; }
have >/dev/null && exit 0
command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || exit 1
export DEBIAN_FRONTEND=noninteractive
# Programs only: nothing of theirs is to be started or to make a database.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
trap 'rm -f /usr/sbin/policy-rc.d' EXIT
options=(-o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
timeout 120 apt-get "${options[@]}" update --quiet=2 || true
timeout 300 apt-get "${options[@]}" install --quiet=2 --yes --no-install-recommends postgresql redis-server >/dev/null
have >/dev/null
