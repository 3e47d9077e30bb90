#!/usr/bin/env bash
# Chromium from the distribution's packages, for tests of the gateway's page in a real browser.
# Exit status 1 where it cannot be had: those tests are then skipped.
set -euo pipefail
have() { command -v chromium; }
have >/dev/null && exit 0
command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || exit 1
export DEBIAN_FRONTEND=noninteractive
options=(-o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
timeout 120 apt-get "${options[@]}" update --quiet=2 || true
timeout 600 apt-get "${options[@]}" install --quiet=2 --yes --no-install-recommends chromium fonts-dejavu-core >/dev/null
have >/dev/null
